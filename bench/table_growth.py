"""Seconds and memory of the table model over rows and over columns, on a simulated table: each size
in a process of its own.

    python -m bench.table_growth
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.schema.values import Column

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "table_growth.json"
ROWS = (10_000, 100_000, 500_000, 2_000_000)  # at 30 columns
COLUMNS = (10, 30, 60, 100, 300)  # at 50,000 rows


def columns(count: int) -> dict[str, Column]:
    """A third numbers with heavy tails and an atom, the rest categories: of 2 to 20 values, and one
    of 600.
    """
    columns = {}
    for place in range(count):
        if place % 3 == 0:
            columns[f"x{place}"] = Column(
                name=f"x{place}",
                kind="continuous",
                lower=0,
                upper=1_000_000,
                decimals=0,
                atoms=(0.0,),
                transform="asinh",
                scale=100.0,
            )
        else:
            values = 600 if place == 1 else 2 + 5 * place % 19
            columns[f"x{place}"] = Column(
                name=f"x{place}",
                kind="categorical",
                categories=tuple(f"v{k}" for k in range(values)),
            )
    return columns


def rows(count: int, domains: dict[str, Column], seed: int) -> pl.DataFrame:
    """Columns that share three factors."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(count, 3))
    columns = {}
    for place, (name, column) in enumerate(domains.items()):
        score = 0.7 * factors[:, place % 3] + 0.7 * rng.normal(size=count)
        if column.kind == "continuous":
            columns[name] = pl.Series(
                np.where(score < -0.7, 0, np.exp(5 + 2 * score).clip(1, 1_000_000).round())
            )
        else:
            values = len(column.categories)
            columns[name] = pl.Series([f"v{k}" for k in range(values)]).gather(
                pl.Series(np.floor(values / (1 + np.exp(-2 * score))).astype(np.int64))
            )
    return pl.DataFrame(columns)


def measure(n: int, width: int) -> dict[str, Any]:
    """One fit and one draw of 100,000 rows in this process."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from pipeline.dp.accounting import calibrate
    from pipeline.dp.marginals import MeasurementStore
    from pipeline.dp.noise import NoiseStream
    from pipeline.dp.tape import Tape
    from pipeline.models.table.fit.fit import fit
    from pipeline.models.table.plan.plan import plan
    from pipeline.models.table.plan.settings import TableSettings

    domains = columns(width)
    patients = rows(n, domains, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, clock = time.process_time(), time.perf_counter()
    table_plan = plan(domains, (), ("x2",), TableSettings(epsilon=1.0), n)
    scale, _ = calibrate(table_plan.dp_event, 1.0, 1e-6)
    plan_seconds = time.process_time() - started
    with TemporaryDirectory() as folder:
        model = fit(
            patients,
            table_plan,
            scale,
            store=MeasurementStore(Path(folder) / "counts"),
            tape=Tape(),
            noise=NoiseStream(),
            checkpoint=Path(folder) / "checkpoint",
            progress=lambda line: None,
        )
    fit_seconds, wall = time.process_time() - started, time.perf_counter() - clock
    started = time.process_time()
    for part in range(5):
        model.sample(20_000, np.random.default_rng(part))
    return {
        "rows": n,
        "columns": width,
        "fit_cpu_seconds": fit_seconds,
        "of_it_accounting": plan_seconds,
        "wall_seconds": wall,
        "rows_in_mb": before,
        "draw_rows_per_cpu_second": 100_000 / (time.process_time() - started),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--one",
        nargs=2,
        type=int,
        metavar=("ROWS", "COLUMNS"),
        help="a single size, in this process",
    )
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(json.dumps(measure(*options.one)) + "\n")
        return
    results = []
    for n, width in dict.fromkeys(
        [*((n, 30) for n in ROWS), *((50_000, width) for width in COLUMNS)]
    ):
        process = subprocess.run(
            [sys.executable, "-m", "bench.table_growth", "--one", str(n), str(width)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
            text=True,
        )
        results.append(
            {
                name: round(value, 1)
                for name, value in json.loads(process.stdout.splitlines()[-1]).items()
            }
        )
        sys.stderr.write(f"{results[-1]}\n")
    RESULTS.write_text(
        "[\n" + ",\n".join(json.dumps(row) for row in results) + "\n]\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
