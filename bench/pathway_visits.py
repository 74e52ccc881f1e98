"""The pathway model on real sequences: clinic visits of the PRISM malaria cohort (uganda_malaria),
half to train on, half held out.

    python bench/pathway_visits.py run --source PATH    (the folder with the dataset's files; seeds
    11 to 13, epsilon 1, 3 and 10) python bench/pathway_visits.py write
    (docs/benchmarks.md from bench/results/)

Some 710 people a half: nothing was chosen on this dataset, the settings are the defaults of the
declared size. `real` is the training half itself against the holdout: what a fresh sample of this
size can give.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pathway_score
import polars as pl
import report
from pathway_data import ROOT
from scipy.stats import wasserstein_distance

from pipeline import params
from pipeline.adapters import canonical
from pipeline.cli.tools import ingested
from pipeline.evaluation import pathways
from pipeline.models.grammar import Grammar, violations
from pipeline.restricted.train import fit_public
from pipeline.schema.patient_log import ID, PatientLog, concat
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

RESULTS = ROOT / "bench" / "results" / "pathway_visits.json"
DELTA = 1e-6
COLUMNS = {
    "bigram_tvd": "bigram TVD",
    "trigram_tvd": "trigram",
    "length_distance": "visits per person, distance",
    "gap_distance": "days between visits, distance",
    "malaria_gap": "malaria per person-year, worst site",
    "mean_malaria_gap": "mean of sites",
    "detection": "detection",
    "illegal": "illegal",
}


def figures(told: Schema, real: PatientLog, other: PatientLog) -> dict[str, float]:
    """COLUMNS of `other` against `real`. Distances are Wasserstein's."""
    found = {
        f"{name}_tvd": pathways.ngram_tvd(real.events, other.events, n)
        for n, name in ((2, "bigram"), (3, "trigram"))
    }
    found["length_distance"] = float(
        wasserstein_distance(pathways.lengths(real.events), pathways.lengths(other.events))
    )
    found["gap_distance"] = float(
        wasserstein_distance(pathway_score.gaps(real.events), pathway_score.gaps(other.events))
    )
    rates = (
        malaria(real)
        .join(malaria(other), on="site", how="left")
        .select((pl.col("rate") - pl.col("rate_right").fill_null(0)).abs())["rate"]
    )
    found["malaria_gap"], found["mean_malaria_gap"] = (
        float(rates.to_numpy().max()),
        float(rates.to_numpy().mean()),
    )
    found["detection"] = pathway_score.detection(told, real, other, with_statics=True)
    found["illegal"] = float(violations(Grammar(told), other.patients, other.events)[ID].n_unique())
    return found


def malaria(sample: PatientLog) -> pl.DataFrame:
    """`site`, `rate`: malaria diagnoses per person-year of follow-up, as the cohort reports it
    (Kamya et al. 2015).
    """
    each = sample.events.group_by(ID).agg(
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
        mine = ids.gather(places).to_frame()
        return PatientLog(
            *(
                frame.join(mine, on=ID, how="semi", maintain_order="left")
                for frame in (everybody.patients, everybody.events)
            )
        )

    return of(order[: len(ids) // 2]), of(order[len(ids) // 2 :])


def ours(told: Schema, train: PatientLog, epsilon: float, seed: int) -> PatientLog:
    """As many synthetic people as were trained on."""
    settings = params.load(ROOT / "params.yaml").train
    with tempfile.TemporaryDirectory() as folder:
        model = fit_public(
            told, train.patients, train.events, epsilon, DELTA, settings, Path(folder) / "model"
        )
    parts = [
        canonical(told, PatientLog(patients, events), extract_date=None)
        for patients, events in model.sample(
            train.patients.height, seed=seed, partition_rows=train.patients.height
        )
    ]
    return concat(parts)


def run(options: argparse.Namespace) -> None:
    declared = read_schema(ROOT / "datasets" / "uganda_malaria.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        everybody = PatientLog(
            *ingested(declared, options.source, params.load(ROOT / "params.yaml"), Path(scratch))
        )
    for seed in options.seeds:
        train, holdout = halves(everybody, seed)
        population = dataclasses.replace(
            declared.population, nominal_size=round(train.patients.height, -2), delta=DELTA
        )
        told = dataclasses.replace(declared, population=population)
        for model, epsilon in [("real", None), *(("ours", epsilon) for epsilon in options.epsilon)]:
            key: dict[str, Any] = {"model": model, "epsilon": epsilon, "seed": seed}
            if report.holds(RESULTS, key):
                continue
            sys.stderr.write(f"{key}\n")
            found = figures(
                told, holdout, train if epsilon is None else ours(told, train, epsilon, seed)
            )
            report.add(RESULTS, key | found)


def table(rows: list[dict[str, Any]]) -> str:
    """A line per model: mean over seeds, in brackets the standard deviation."""
    lines = [
        "| | epsilon | splits | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|---|" + "---|" * len(COLUMNS),
    ]
    for epsilon in sorted({row["epsilon"] for row in rows}, key=lambda value: value or np.inf):
        mine = [row for row in rows if row["epsilon"] == epsilon]
        cells = [
            report.mean(
                [row[name] for row in mine],
                0 if name == "illegal" else 1 if name in ("length_distance", "gap_distance") else 3,
            )
            for name in COLUMNS
        ]
        lines.append(
            f"| {'**Syndasera**' if epsilon else 'the other half (floor)'} | {epsilon or '-'} |"
            f" {len(mine)} | {' | '.join(cells)} |"
        )
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
