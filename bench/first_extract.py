"""What a clinician asks of the first page of a small extract: who has which cancer, beside the
source's own figures and those of a fresh sample, which chance alone sets apart from the source.

    python -m bench.first_extract --patients 5000 [--seeds 1 2 3] [--without-known]

Simulated patients are the source, of each seed others. The table model alone is fitted, at the
share of epsilon 1 that a release gives it, and draws as many patients.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from bench import pathway_data, tables
from pipeline.schema.values import Schema

SITE, BREAST, PROSTATE = "SITE_ICD10_O2_3CHAR", "C50", "C61"
COMMON = 10  # sites that are named and compared in order
LARGE = 100  # patients of a site in the source from which its age and stages are compared
YOUNG, ADULT, LIGHT = 40, 18, 30.0  # years, years, kg
SEEDS_APART = 1000  # how far the seed of a fresh sample lies from its source's


@dataclass(frozen=True)
class Answer:
    question: str
    source: float
    extract: float
    most: float  # that was asked of the extract
    is_least: bool = False  # `most` was asked at least


Answers = Sequence[Sequence[Answer]]  # of each run, each question


def answers(source: pl.DataFrame, extract: pl.DataFrame) -> list[Answer]:
    """Of static rows, one per patient. Shares in percent, ages in years."""
    return [
        Answer("men among breast cancers, %", _men(source), _men(extract), 2.0),
        Answer("prostate cancers below 40, %", _young(source), _young(extract), 0.5),
        Answer(
            "of the ten commonest sites, in the extract's ten",
            10,
            _shared(source, extract),
            10,
            True,
        ),
        Answer(
            "largest share of a site over the source's", 1, _largest_ratio(source, extract), 3.0
        ),
        Answer("largest gap of a common site's mean age", 0, max(_ages(source, extract)), 3.0),
        Answer(
            "largest gap of a common site's stages, points", 0, max(_stages(source, extract)), 8.0
        ),
        Answer(
            "women with male organs, men with female ones", _organs(source), _organs(extract), 0
        ),
        Answer("adults below 30 kg, %", _light(source), _light(extract), 0.0),
    ]


def _of_site(rows: pl.DataFrame, site: str) -> pl.DataFrame:
    return rows.filter(pl.col(SITE) == site)


def _percent(rows: pl.DataFrame, condition: pl.Expr) -> float:
    return 100 * rows.filter(condition).height / max(rows.height, 1)


def _men(rows: pl.DataFrame) -> float:
    return _percent(_of_site(rows, BREAST), pl.col("GENDER") == "1")


def _young(rows: pl.DataFrame) -> float:
    return _percent(_of_site(rows, PROSTATE), pl.col("AGE") < YOUNG)


def _light(rows: pl.DataFrame) -> float:
    weighed = rows.filter((pl.col("AGE") >= ADULT) & pl.col("WEIGHT").is_not_null())
    return _percent(weighed, pl.col("WEIGHT") < LIGHT)


def _organs(rows: pl.DataFrame) -> int:
    male, female = ("C60", "C61", "C62", "C63"), ("C51", "C52", "C53", "C54", "C55", "C56", "D06")
    wrong = (pl.col(SITE).is_in(male) & (pl.col("GENDER") == "2")) | (
        pl.col(SITE).is_in(female) & (pl.col("GENDER") == "1")
    )
    return rows.filter(wrong).height


def _shares(rows: pl.DataFrame) -> dict[str, float]:
    """Of sites, the commonest first."""
    counts = rows[SITE].value_counts(sort=True)
    return {site: count / rows.height for site, count in counts.iter_rows()}


def _shared(source: pl.DataFrame, extract: pl.DataFrame) -> int:
    one, other = (set(list(_shares(rows))[:COMMON]) for rows in (source, extract))
    return len(one & other)


def _largest_ratio(source: pl.DataFrame, extract: pl.DataFrame) -> float:
    """Over the sites that the extract has in at least one in 200 patients."""
    shares, least = _shares(source), 1 / source.height
    return max(
        share / max(shares.get(site, 0.0), least)
        for site, share in _shares(extract).items()
        if share >= 0.005
    )


def _large_sites(source: pl.DataFrame) -> Iterator[str]:
    for site, share in _shares(source).items():
        if share * source.height >= LARGE:
            yield site


def _ages(source: pl.DataFrame, extract: pl.DataFrame) -> list[float]:
    return [
        abs(_mean_age(source, site) - _mean_age(extract, site)) for site in _large_sites(source)
    ]


def _mean_age(rows: pl.DataFrame, site: str) -> float:
    """0 where nobody has it."""
    ages = _of_site(rows, site)["AGE"].to_numpy()
    return float(ages.mean()) if len(ages) else 0.0


def _stages(source: pl.DataFrame, extract: pl.DataFrame) -> list[float]:
    """The largest difference of a stage's share, in points, of each large site."""
    gaps = []
    for site in _large_sites(source):
        one, other = (
            dict(_of_site(rows, site)["STAGE_GROUP"].value_counts(normalize=True).iter_rows())
            for rows in (source, extract)
        )
        gaps.append(max(100 * abs(one.get(s, 0) - other.get(s, 0)) for s in one.keys() | other))
    return gaps


def sites(source: pl.DataFrame, extract: pl.DataFrame) -> Iterator[str]:
    """A line of a table per common site: patients, mean age, shares of stages in percent; the
    source's and the extract's.
    """
    stages = sorted(source["STAGE_GROUP"].unique())
    yield f"| site | patients | mean age | {' | '.join(f'stage {s}' for s in stages)} |"
    yield "|---|---|---|" + "---|" * len(stages)
    for site in _large_sites(source):
        both = [_of_site(rows, site) for rows in (source, extract)]
        shares = [
            " / ".join(f"{_percent(rows, pl.col('STAGE_GROUP') == stage):.0f}" for rows in both)
            for stage in stages
        ]
        ages = " / ".join(f"{_mean_age(rows, site):.1f}" for rows in both)
        yield f"| {site} | {both[0].height} / {both[1].height} | {ages} | {' | '.join(shares)} |"


def source_of(patients: int, seed: int) -> pl.DataFrame:
    """Simulated static rows."""
    return pathway_data.simulate_log(_declaration(patients), patients, seed).patients


def extract_of(
    patients: int, seed: int, *, with_tables: bool = True
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(simulated static rows, as many drawn ones)."""
    source = source_of(patients, seed)
    model, _ = tables.timed_fit(_declaration(patients), source, 1.0, with_tables=with_tables)
    return source, model.sample(patients, np.random.default_rng(seed))


def _declaration(patients: int) -> Schema:
    schema = pathway_data.read_declaration()
    return replace(schema, population=replace(schema.population, nominal_size=patients))


def summary(of_extracts: Answers, of_samples: Answers) -> Iterator[str]:
    """A line of a table per question: the middle of all runs, in brackets the worst."""
    yield "| question | source | a fresh sample | extract | asked |\n|---|---|---|---|---|"
    per_question = (zip(*runs, strict=True) for runs in (of_extracts, of_samples))
    for extracts, samples in zip(*per_question, strict=True):
        first = extracts[0]
        worst = min if first.is_least else max
        cells = [_middle([one.extract for one in group], worst) for group in (samples, extracts)]
        source = statistics.median(one.source for one in extracts)
        yield f"| {first.question} | {source:.3g} | {' | '.join(cells)} | {first.most:g} |"


def _middle(values: Sequence[float], worst: Callable[[Sequence[float]], float]) -> str:
    return f"{statistics.median(values):.3g} ({worst(values):.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=5000, help="how many are simulated")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1], help="of the simulation and the draw"
    )
    parser.add_argument(
        "--without-known", action="store_true", help="leave the published tables out"
    )
    options = parser.parse_args()
    of_extracts, of_samples = [], []
    for seed in options.seeds:
        source, extract = extract_of(options.patients, seed, with_tables=not options.without_known)
        of_extracts.append(answers(source, extract))
        of_samples.append(answers(source, source_of(options.patients, seed + SEEDS_APART)))
        sys.stderr.write(f"seed {seed}\n" + "\n".join(sites(source, extract)) + "\n")
    sys.stdout.write("\n".join(summary(of_extracts, of_samples)) + "\n")


if __name__ == "__main__":
    main()
