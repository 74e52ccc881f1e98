"""The pathway model on real sequences: clinic visits of the PRISM malaria cohort (uganda_malaria),
half to train on, half held out.

    python -m bench.pathway_visits run --source PATH
        PATH is the folder with the dataset's files; seeds 11 to 13, epsilon 1, 3 and 10
    python -m bench.pathway_visits write
        writes docs/benchmarks.md from bench/results/

Some 710 people a half. The settings are the defaults of the declared size; how a log chooses its
counted tables was tried on another split (seed 21), of the same people. `real` is the training half
itself against the holdout: what a fresh sample of this size can give. `gradients` is the model of
before, which counted no attribute of such a log.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import wasserstein_distance

from bench import report
from bench.pathway_data import ROOT
from pipeline import params
from pipeline.adapters import canonical
from pipeline.evaluation import pathway_score, pathways
from pipeline.evaluation.analyses import run_analyses
from pipeline.evaluation.findings import Verdict
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.restricted.public_source import ingested
from pipeline.restricted.train import fit_public
from pipeline.schema.patient_log import ID, PatientLog, concat
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

ENDING = "End of follow-up"
RESULTS = ROOT / "bench" / "results" / "pathway_visits.json"
DELTA = 1e-6
COLUMNS = {
    "bigram_tvd": "bigram TVD",
    "trigram_tvd": "trigram",
    "length_distance": "visits per person, distance",
    "gap_distance": "days between visits, distance",
    "malaria_gap": "malaria per person-year, worst site",
    "mean_malaria_gap": "mean of sites",
    "value_tvd": "values, TVD",
    "next_value_tvd": "value and the one before",
    "pair_tvd": "two values of a visit",
    "findings": "comparisons passed",
    "detection": "detection",
    "illegal": "illegal",
}


def figures(schema: Schema, real: PatientLog, other: PatientLog) -> dict[str, float]:
    """COLUMNS of `other` against `real`. Distances are Wasserstein's."""
    scores = {
        f"{name}_tvd": pathways.ngram_tvd(real.pathways, other.pathways, n)
        for n, name in ((2, "bigram"), (3, "trigram"))
    }
    scores["length_distance"] = float(
        wasserstein_distance(pathways.lengths(real.pathways), pathways.lengths(other.pathways))
    )
    scores["gap_distance"] = float(
        wasserstein_distance(pathway_score.gaps(real.pathways), pathway_score.gaps(other.pathways))
    )
    rates = (
        malaria(real)
        .join(malaria(other), on="site", how="left")
        .select((pl.col("rate") - pl.col("rate_right").fill_null(0)).abs())["rate"]
    )
    scores["malaria_gap"], scores["mean_malaria_gap"] = (
        float(rates.to_numpy().max()),
        float(rates.to_numpy().mean()),
    )
    scores |= value_figures(schema, real, other)
    verdicts = [one.verdict for one in run_analyses(schema, real, other, lambda _: None)]
    tested = [one for one in verdicts if one is not Verdict.UNTESTED]
    scores["findings"] = tested.count(Verdict.PASS) / max(len(tested), 1)
    scores["detection"] = pathway_score.detection(schema, real, other, with_statics=True)
    scores["illegal"] = float(
        violations(Grammar(schema), other.patients, other.pathways)[ID].n_unique()
    )
    return scores


def value_figures(schema: Schema, real: PatientLog, other: PatientLog) -> dict[str, float]:
    """Mean TVD between events of the two samples: of each attribute by the type of the event, of it
    with its last known value, of each two attributes. Numbers stand in ten bins of the real ones.
    """
    both = [_coarse(schema, sample, real) for sample in (real, other)]
    names = list(schema.events.attributes) if schema.events else []
    columns = {
        "value_tvd": [("type", name) for name in names],
        "next_value_tvd": [(f"last {name}", name) for name in names],
        "pair_tvd": list(combinations(names, 2)),
    }
    return {
        figure: float(np.mean([_tvd(both[0], both[1], pair) for pair in pairs]))
        for figure, pairs in columns.items()
    }


def _coarse(schema: Schema, sample: PatientLog, real: PatientLog) -> pl.DataFrame:
    assert schema.events is not None
    visits = sample.pathways.filter(pl.col("type") != ENDING).sort(ID, "seq")
    columns = []
    for name, column in schema.events.attributes.items():
        if column.categories:
            columns.append(pl.col(name).cast(pl.String))
            continue
        numbers = real.pathways[name].drop_nulls().cast(pl.Float64).to_numpy()
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, 11)[1:-1])).tolist()
        columns.append(pl.col(name).cast(pl.Float64).cut(edges).cast(pl.String))
    last = [
        pl.col(name).forward_fill().shift(1).over(ID).alias(f"last {name}")
        for name in schema.events.attributes
    ]
    return visits.select(ID, "type", *columns).with_columns(last)


def _tvd(real: pl.DataFrame, other: pl.DataFrame, columns: tuple[str, str]) -> float:
    shares = [
        frame.select(
            pl.concat_str([pl.col(name).fill_null("-") for name in columns], separator=" / ").alias(
                "cell"
            )
        )["cell"].value_counts(normalize=True, name="share")
        for frame in (real, other)
    ]
    joined = shares[0].join(shares[1], on="cell", how="full", coalesce=True).fill_null(0.0)
    return float((joined["share"] - joined["share_right"]).abs().sum()) / 2


def malaria(sample: PatientLog) -> pl.DataFrame:
    """`site`, `rate`: malaria diagnoses per person-year of follow-up, as the cohort reports it
    (Kamya et al. 2015).
    """
    each = sample.pathways.group_by(ID).agg(
        cases=(pl.col("malaria_diagnosis") == "Yes").sum(), days=pl.col("day").max()
    )
    totals = (
        sample.patients.select(ID, "site")
        .join(each, on=ID)
        .group_by("site")
        .agg(pl.col("cases").sum(), pl.col("days").sum())
    )
    return totals.select("site", rate=pl.col("cases") / (pl.col("days") / pathways.DAYS_PER_YEAR))


def halves(everybody: PatientLog, seed: int) -> tuple[PatientLog, PatientLog]:
    """(training half, holdout)."""
    ids = everybody.patients[ID].sort()
    order = np.random.default_rng(seed).permutation(len(ids))

    def of(places: np.ndarray) -> PatientLog:
        half = ids.gather(places).to_frame()
        return PatientLog(
            *(
                frame.join(half, on=ID, how="semi", maintain_order="left")
                for frame in (everybody.patients, everybody.pathways)
            )
        )

    return of(order[: len(ids) // 2]), of(order[len(ids) // 2 :])


def ours(schema: Schema, train: PatientLog, epsilon: float, seed: int) -> PatientLog:
    """As many synthetic people as were trained on."""
    settings = params.load(ROOT / "params.yaml").train
    with tempfile.TemporaryDirectory() as folder:
        model = fit_public(
            schema, train.patients, train.pathways, epsilon, DELTA, settings, Path(folder) / "model"
        )
    parts = [
        canonical(schema, part, extract_date=None)
        for part in model.sample(
            train.patients.height, seed=seed, partition_rows=train.patients.height
        )
    ]
    return concat(parts)


def run(options: argparse.Namespace) -> None:
    declaration = read_schema(ROOT / "datasets" / "uganda_malaria.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        everybody = PatientLog(
            *ingested(declaration, options.source, params.load(ROOT / "params.yaml"), Path(scratch))
        )
    for seed in options.seeds:
        train, holdout = halves(everybody, seed)
        population = dataclasses.replace(
            declaration.population, nominal_size=round(train.patients.height, -2), delta=DELTA
        )
        schema = dataclasses.replace(declaration, population=population)
        for model, epsilon in [("real", None), *(("ours", epsilon) for epsilon in options.epsilon)]:
            key: dict[str, Any] = {"model": model, "epsilon": epsilon, "seed": seed}
            if report.holds(RESULTS, key):
                continue
            sys.stderr.write(f"{key}\n")
            scores = figures(
                schema, holdout, train if epsilon is None else ours(schema, train, epsilon, seed)
            )
            report.add(RESULTS, key | scores)


DIGITS = {"illegal": 0, "length_distance": 1, "gap_distance": 1}
NAMES = {
    "ours": "**Syndasera**",
    "gradients": "before: values from gradients alone",
    "real": "the other half (floor)",
}


def table(rows: list[dict[str, Any]]) -> str:
    """A line per model and epsilon: mean over seeds, in brackets the standard deviation."""
    lines = [
        "| | epsilon | splits | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|---|" + "---|" * len(COLUMNS),
    ]
    for model, title in NAMES.items():
        of_model = [row for row in rows if row["model"] == model]
        for epsilon in sorted({row["epsilon"] for row in of_model}, key=lambda value: value or 0):
            group = [row for row in of_model if row["epsilon"] == epsilon]
            cells = [
                report.mean([row[name] for row in group if name in row], DIGITS.get(name, 3))
                for name in COLUMNS
            ]
            lines.append(f"| {title} | {epsilon or '-'} | {len(group)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument(
        "--source", type=Path, required=True, help="the folder with the dataset's files"
    )
    runs.add_argument("--epsilon", type=float, nargs="+", default=[1.0, 3.0, 10.0])
    runs.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    commands.add_parser("write")
    options = parser.parse_args()
    if options.command == "run":
        run(options)
    else:
        report.between("visits", "pathway_visits.py", table(report.read(RESULTS)))


if __name__ == "__main__":
    main()
