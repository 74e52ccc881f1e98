"""The table model on public tables and on simulated patients: fresh splits, beside a fresh real
sample and beside peers; tables and plots in docs/.

    python -m bench.tables run --source adult=PATH --source simulated_5000
        a run whose figures are there already is not done again
    python -m bench.tables peers --source adult=PATH --rows FOLDER
        scores the rows that bench/peer_runs.py wrote
    python -m bench.tables write
        writes docs/benchmarks.md from bench/results/, growth and ablation too

Settings are the project's defaults. They were chosen on split 1; the splits here are others.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench import report, table_data, table_survival, table_tables
from bench.table_data import Table
from bench.table_tables import NO_TARGET, OURS, REAL, WITH_TABLES
from pipeline import params
from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.evaluation import table_score
from pipeline.models.synthesizer.plan import joint_plan
from pipeline.models.table.draw.model import TableModel
from pipeline.models.table.fit.fit import fit
from pipeline.params import PrivacyParams
from pipeline.schema.values import Schema

DELTA = 1e-6
EPSILONS = (1.0, 3.0, 10.0)
RESULTS = table_data.ROOT / "bench" / "results" / "tables.json"


def timed_fit(
    schema: Schema,
    train: pl.DataFrame,
    epsilon: float,
    *,
    with_targets: bool = True,
    with_tables: bool = True,
    **settings: Any,
) -> tuple[TableModel, float]:
    """(model, CPU-seconds of planning and fitting). with_tables: with the declaration's published
    tables.
    """
    train_params = dataclasses.replace(
        params.load(table_data.ROOT / "params.yaml").train, table=settings
    )
    schema = dataclasses.replace(
        schema,
        targets=schema.targets if with_targets else (),
        known=schema.known if with_tables else (),
    )
    started = time.process_time()
    plan = joint_plan(schema, PrivacyParams(epsilon=epsilon, delta=DELTA), train_params)
    with tempfile.TemporaryDirectory() as folder:
        model = fit(
            train,
            plan.table,
            plan.table_scale,
            store=MeasurementStore(Path(folder) / "counts"),
            tape=Tape(),
            noise=NoiseStream(),
            checkpoint=Path(folder) / "checkpoint",
            progress=lambda line: None,
        )
    return model, time.process_time() - started


def ours(table: Table, split: int, epsilon: float, **how: bool) -> dict[str, float]:
    """Figures and costs of one fit on one split."""
    train, holdout = table.split(split)
    model, seconds = timed_fit(table.schema, train, epsilon, **how)
    started = time.process_time()
    synthetic = model.sample(len(train), np.random.default_rng(split))
    drawing = time.process_time() - started
    return score(table, train, holdout, synthetic) | {
        "fit_cpu_seconds": seconds,
        "rows_per_cpu_second": len(train) / drawing,
    }


def floor(table: Table, split: int) -> dict[str, float]:
    """A bootstrap of the training rows in place of synthetic ones."""
    train, holdout = table.split(split)
    again = np.random.default_rng(split).integers(0, len(train), len(train))
    return score(table, train, holdout, train[again])


def score(
    table: Table, train: pl.DataFrame, holdout: pl.DataFrame, synthetic: pl.DataFrame
) -> dict[str, float]:
    """Simulated patients have targets of many classes, and no AUC."""
    target = None if table.name in table_data.SIMULATED else table.schema.targets[0]
    figures = table_score.figures(train, holdout, synthetic, table.schema.patients, target)
    if table.name in table_data.SURVIVAL:
        figures["concordance"] = table_survival.concordance(
            synthetic, holdout, table.schema.patients, *table_data.SURVIVAL[table.name]
        )
    return figures


def runs_to_do(tables: list[Table]) -> Iterator[tuple[Table, str, float, int]]:
    """(table, model, epsilon, split), the more telling first."""
    for model, epsilons, splits in (
        (OURS, (1.0,), table_data.FRESH),
        (WITH_TABLES, (1.0,), table_data.FRESH),
        (REAL, (0.0,), table_data.FRESH),
        (OURS, EPSILONS[1:], table_data.FRESH),
        (NO_TARGET, EPSILONS, table_data.FRESH[:2]),
    ):
        for split in splits:
            for epsilon in epsilons:
                for table in tables:
                    if model in models_of(table, epsilon):
                        yield table, model, epsilon, split


def models_of(table: Table, epsilon: float) -> tuple[str, ...]:
    """Simulated patients at epsilon 1 alone; published tables are known of them only."""
    if table.name not in table_data.SIMULATED:
        return (OURS, REAL, NO_TARGET)
    return (OURS, WITH_TABLES, REAL) if epsilon <= 1 else ()


def run(options: argparse.Namespace) -> None:
    for table, model, epsilon, split in runs_to_do(table_data.tables_of(options.source)):
        key = {"dataset": table.name, "model": model, "epsilon": epsilon, "split": split}
        if report.holds(options.results, key):
            continue
        scores = (
            floor(table, split)
            if model == REAL
            else ours(
                table,
                split,
                epsilon,
                with_targets=model != NO_TARGET,
                with_tables=model == WITH_TABLES,
            )
        )
        report.add(options.results, key | scores)
        sys.stderr.write(
            f"{table.name} {model} epsilon {epsilon:g} split {split}: "
            + ", ".join(f"{k} {v:.4g}" for k, v in scores.items())
            + "\n"
        )


def peers(options: argparse.Namespace) -> None:
    """Rows that bench/peer_runs.py left under `--rows`, scored on the split that they come from;
    `<peer>-<epsilon>.parquet` or `<peer>.parquet`.
    """
    for table in table_data.tables_of(options.source):
        train, holdout = table.split(table_data.PEERS)
        for costs_file in sorted((options.rows / table.name).glob("*.json")):
            costs = json.loads(costs_file.read_text(encoding="utf-8"))
            peer, _, epsilon = costs_file.stem.rpartition("-")
            name, budget = (
                (peer, float(epsilon))
                if epsilon.replace(".", "").isdigit()
                else (costs_file.stem, 0.0)
            )
            key = {
                "dataset": table.name,
                "model": name,
                "epsilon": budget,
                "split": table_data.PEERS,
            }
            if costs_file.stem == "domain" or report.holds(options.results, key):
                continue
            rows = costs_file.with_suffix(".parquet")
            scores = score(table, train, holdout, _rows_of(rows, train)) if rows.is_file() else {}
            listed_costs = {
                name: costs[name]
                for name in ("fit_cpu_seconds", "draw_cpu_seconds", "peak_mb", "version", "error")
                if name in costs
            }
            report.add(options.results, key | scores | listed_costs)
            sys.stderr.write(f"{table.name} {costs_file.stem}: {scores}\n")


def _rows_of(rows: Path, like: pl.DataFrame) -> pl.DataFrame:
    """A peer's rows; dates, which it drew as numbers of days, are dates again."""
    frame = pl.read_parquet(rows)
    dates = [name for name in frame.columns if like.schema[name] == pl.Date]
    return frame.with_columns(pl.col(dates).cast(pl.Int32).cast(pl.Date))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "peers"):
        command = commands.add_parser(name)
        command.add_argument(
            "--source",
            action="append",
            required=True,
            metavar="DATASET[=PATH]",
            help="a public dataset and its folder, or simulated_5000, ..._20000, ..._100000",
        )
        command.add_argument("--results", type=Path, default=RESULTS, help="the file of figures")
        if name == "peers":
            command.add_argument(
                "--rows", type=Path, required=True, help="what bench/peer_runs.py wrote"
            )
    commands.add_parser("write")
    options = parser.parse_args()
    if options.command == "write":
        table_tables.write(report.read(RESULTS))
    else:
        {"run": run, "peers": peers}[options.command](options)


if __name__ == "__main__":
    main()
