"""The table model on public tables: fresh splits, beside a fresh real sample and beside peers;
tables and plots in docs/.

    python -m bench.tables run --source adult=PATH --source credit_default=PATH
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

from bench import report, table_data, table_tables
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
    **settings: Any,
) -> tuple[TableModel, float]:
    """(model, CPU-seconds of planning and fitting)."""
    train_params = dataclasses.replace(
        params.load(table_data.ROOT / "params.yaml").train, table=settings
    )
    target_schema = schema if with_targets else dataclasses.replace(schema, targets=())
    started = time.process_time()
    plan = joint_plan(target_schema, PrivacyParams(epsilon=epsilon, delta=DELTA), train_params)
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


def ours(
    schema: Schema, rows: pl.DataFrame, split: int, epsilon: float, *, with_targets: bool
) -> dict[str, float]:
    """Figures and costs of one fit on one split."""
    train, holdout = table_data.split(rows, split)
    model, seconds = timed_fit(schema, train, epsilon, with_targets=with_targets)
    started = time.process_time()
    synthetic = model.sample(len(train), np.random.default_rng(split))
    drawing = time.process_time() - started
    return score(schema, train, holdout, synthetic) | {
        "fit_cpu_seconds": seconds,
        "rows_per_cpu_second": len(train) / drawing,
    }


def floor(schema: Schema, rows: pl.DataFrame, split: int) -> dict[str, float]:
    """A bootstrap of the training rows in place of synthetic ones."""
    train, holdout = table_data.split(rows, split)
    return score(
        schema,
        train,
        holdout,
        train[np.random.default_rng(split).integers(0, len(train), len(train))],
    )


def score(
    schema: Schema, train: pl.DataFrame, holdout: pl.DataFrame, synthetic: pl.DataFrame
) -> dict[str, float]:
    return table_score.figures(train, holdout, synthetic, schema.patients, schema.targets[0])


def runs_to_do(datasets: list[str]) -> Iterator[tuple[str, str, float, int]]:
    """(dataset, model, epsilon, split), the more telling first."""
    for model, epsilons, splits in (
        ("ours", EPSILONS, table_data.FRESH),
        ("real", (0.0,), table_data.FRESH),
        ("ours, no target", EPSILONS, table_data.FRESH[:2]),
    ):
        for split in splits:
            for epsilon in epsilons:
                for dataset in datasets:
                    yield dataset, model, epsilon, split


def run(options: argparse.Namespace) -> None:
    sources = sources_of(options)
    tables = {name: table_data.load(name, source) for name, source in sources.items()}
    for dataset, model, epsilon, split in runs_to_do(list(sources)):
        key = {"dataset": dataset, "model": model, "epsilon": epsilon, "split": split}
        if report.holds(RESULTS, key):
            continue
        schema, rows = tables[dataset]
        scores = (
            floor(schema, rows, split)
            if model == "real"
            else ours(schema, rows, split, epsilon, with_targets=model == "ours")
        )
        report.add(RESULTS, key | scores)
        sys.stderr.write(
            f"{dataset} {model} epsilon {epsilon:g} split {split}: "
            + ", ".join(f"{k} {v:.4g}" for k, v in scores.items())
            + "\n"
        )


def peers(options: argparse.Namespace) -> None:
    """Rows that bench/peer_runs.py left under `--rows`, scored on the split that they come from;
    `<peer>-<epsilon>.parquet` or `<peer>.parquet`.
    """
    for dataset, source in sources_of(options).items():
        schema, rows = table_data.load(dataset, source)
        train, holdout = table_data.split(rows, table_data.PEERS)
        for costs_file in sorted((options.rows / dataset).glob("*.json")):
            costs = json.loads(costs_file.read_text(encoding="utf-8"))
            peer, _, epsilon = costs_file.stem.rpartition("-")
            name, budget = (
                (peer, float(epsilon))
                if epsilon.replace(".", "").isdigit()
                else (costs_file.stem, 0.0)
            )
            key = {"dataset": dataset, "model": name, "epsilon": budget, "split": table_data.PEERS}
            if costs_file.stem == "domain" or report.holds(RESULTS, key):
                continue
            synthetic = costs_file.with_suffix(".parquet")
            scores = (
                score(schema, train, holdout, pl.read_parquet(synthetic))
                if synthetic.is_file()
                else {}
            )
            listed_costs = {
                name: costs[name]
                for name in ("fit_cpu_seconds", "draw_cpu_seconds", "peak_mb", "version", "error")
                if name in costs
            }
            report.add(RESULTS, key | scores | listed_costs)
            sys.stderr.write(f"{dataset} {costs_file.stem}: {scores}\n")


def sources_of(options: argparse.Namespace) -> dict[str, Path]:
    folders = dict(text.split("=", 1) for text in options.source)
    if unknown := set(folders) - set(table_data.DATASETS):
        raise SystemExit(
            f"--source {', '.join(sorted(unknown))}: the datasets are"
            f" {', '.join(table_data.DATASETS)}"
        )
    return {name: Path(path) for name, path in folders.items()}


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
            metavar="DATASET=PATH",
            help="a public dataset and its folder",
        )
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
