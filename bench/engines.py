"""The engines of the table model on public tables, beside smartnoise's DP-CTGAN and CTGAN without
privacy.

    python -m bench.engines run --source adult=PATH --source uci_heart=PATH
        fits the engine dp-ctgan; a run whose figures are there already is not done again
    python -m bench.engines run --engine ctgan --source adult=PATH
        CTGAN itself, where the package is installed (an optional extra, Business Source License)
    python -m bench.engines write
        writes docs/benchmarks.md from bench/results/: the rows here, and of bench/tables.py those
        of the mixture on the same splits and those of the peers

Settings are the project's defaults. They were chosen on split 1; the splits here are others.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from bench import report, table_data, tables
from bench.table_data import Table
from bench.table_tables import COLUMNS, NAMES, OURS, REAL, cell
from pipeline.models.table.fit.without_privacy import fit_without_privacy
from pipeline.models.table.plan.engines import CTGAN, DP_CTGAN
from pipeline.models.table.values.row_source import RowSource

RESULTS = table_data.ROOT / "bench" / "results" / "engines.json"
SPLITS = table_data.FRESH[:2]
FIGURES = [name for name in COLUMNS if name != "concordance"]
MODELS = {
    OURS: "engine `mixture`, the default",
    DP_CTGAN: "**engine `dp-ctgan`**",
    "smartnoise-dpctgan": NAMES["smartnoise-dpctgan"],
    CTGAN: NAMES["ctgan"],
    REAL: NAMES[REAL],
}


def run(options: argparse.Namespace) -> None:
    epsilons = tables.EPSILONS if options.engine == DP_CTGAN else (0.0,)
    for split in SPLITS:
        for epsilon in epsilons:
            for table in table_data.tables_of(options.source):
                key = {
                    "dataset": table.name,
                    "model": options.engine,
                    "epsilon": epsilon,
                    "split": split,
                }
                if not report.holds(RESULTS, key):
                    report.add(RESULTS, key | figures(table, options.engine, epsilon, split))
                    sys.stderr.write(f"{report.read(RESULTS)[-1]}\n")


def figures(table: Table, engine: str, epsilon: float, split: int) -> dict[str, float]:
    """Of one fit on one split; with the seconds that it took."""
    train, holdout = table.split(split)
    model, seconds = _fit(table, train, engine, epsilon)
    synthetic = model.sample(len(train), np.random.default_rng(split))
    return tables.score(table, train, holdout, synthetic) | {"fit_cpu_seconds": seconds}


def _fit(table: Table, train: pl.DataFrame, engine: str, epsilon: float) -> tuple[RowSource, float]:
    if engine != CTGAN:
        return tables.timed_fit(table.schema, train, epsilon, engine=engine)
    before = time.process_time()
    model = fit_without_privacy(table.schema, train)
    return model, time.process_time() - before


def write() -> None:
    """The part of docs/benchmarks.md that is this script's."""
    rows = [*report.read(RESULTS), *report.read(tables.RESULTS)]
    rows = [row for row in rows if row["split"] in SPLITS]
    names = dict.fromkeys(row["dataset"] for row in rows if row["model"] == DP_CTGAN)
    parts = [
        f"#### {name}\n{text_table([row for row in rows if row['dataset'] == name])}"
        for name in names
    ]
    report.between("engines", "engines.py", "\n\n".join(parts))


def text_table(rows: Sequence[dict[str, Any]]) -> str:
    """Of one dataset: a line per model and epsilon."""
    lines = [
        "| | epsilon | splits | " + " | ".join(COLUMNS[name] for name in FIGURES) + " |",
        "|---|---|---|" + "---|" * len(FIGURES),
    ]
    for epsilon in sorted({row["epsilon"] for row in rows}, key=lambda value: (value == 0, value)):
        group_of = {
            model: [row for row in rows if (row["model"], row["epsilon"]) == (model, epsilon)]
            for model in MODELS
        }
        # side by side: the mixture on the splits of the other engine
        splits = {row["split"] for row in group_of[DP_CTGAN]}
        group_of[OURS] = [row for row in group_of[OURS] if row["split"] in splits]
        for model, title in MODELS.items():
            if group := group_of[model]:
                cells = " | ".join(cell(group, name) for name in FIGURES)
                budget = f"{epsilon:g}" if epsilon else "-"
                lines.append(f"| {title} | {budget} | {len(group)} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run")
    command.add_argument("--engine", choices=(DP_CTGAN, CTGAN), default=DP_CTGAN)
    command.add_argument(
        "--source",
        action="append",
        required=True,
        metavar="DATASET=PATH",
        help="a public dataset and its folder",
    )
    commands.add_parser("write")
    options = parser.parse_args()
    if options.command == "write":
        write()
    else:
        run(options)


if __name__ == "__main__":
    main()
