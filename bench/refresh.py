"""What a refresh costs, stage by stage, over the number of patients, on simulated data.

    python -m bench.refresh run --patients 5000 20000 100000 2000000
    python -m bench.refresh small      # a table of 600 rows
    python -m bench.refresh whole      # `make run` in a running Airflow
    python -m bench.refresh write      # the table and the plot in docs/, from what was measured

Each stage runs as its own process, as it does in Airflow, in a home of its own. CPU seconds are
those of the process and its children. Peak memory is the largest sum over the process and its
children, twice a second, of what each holds alone and its part of what it shares (proportional set
size). A size that was measured before is replaced.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import psutil

from bench import refresh_tables, report, simulated_source
from pipeline.schema.reader import read_schema
from pipeline.stages import STAGES

ROOT = Path(__file__).resolve().parent.parent
SMALL = 600  # rows of the small table
MOST_GB = 14.0  # a stage that takes more is ended: the limit asked is 12, the machine has 24


@dataclass(frozen=True)
class Cost:
    patients: int
    stage: str
    seconds: float
    cpu_seconds: float
    peak_mb: float


def measure(
    command: list[str], cwd: Path, environment: dict[str, str]
) -> tuple[float, float, float]:
    """(seconds, CPU seconds, peak MB) of one command and its children. Raises RuntimeError where it
    fails or takes more than MOST_GB.
    """
    started, cpu, peak = time.perf_counter(), _cpu_of_children(), 0
    with tempfile.TemporaryFile() as output:
        process = psutil.Popen(
            command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            peak = max(peak, _pss(process))
            if peak > MOST_GB * 2**30:
                for one in [*process.children(recursive=True), process]:
                    one.kill()
            time.sleep(0.5)
        if process.returncode != 0:
            output.seek(0)
            raise RuntimeError(
                f"{' '.join(command[2:])} failed at {peak / 2**30:.1f} GB:"
                f" {output.read()[-2000:].decode(errors='replace')}"
            )
    return time.perf_counter() - started, _cpu_of_children() - cpu, peak / 2**20


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _pss(process: psutil.Popen) -> int:
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for one in family:
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # gone in the meantime
            continue
    return total


def declare(home: Path, patients: int, base: str = "simulated_pathways") -> str:
    """Declarations of the home's own: the base with this nominal size, from which steps and
    sampling probability follow. Its name.
    """
    shutil.copytree(ROOT / "datasets", home / "datasets")
    name = f"{base.split('_')[0]}_{patients}"
    text = (
        f"extends: {base}\ndataset: {name}\npopulation: {{name: {name}, nominal_size:"
        f" {patients}, delta: {min(1e-6, 0.1 / patients):.1e}}}\n"
    )
    (home / "datasets" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return name


def pipeline_command(name: str, options: Mapping[str, object] | None = None) -> list[str]:
    """`python -m pipeline NAME --OPTION VALUE ...`"""
    texts = [(f"--{option}", str(value)) for option, value in (options or {}).items()]
    return [sys.executable, "-m", "pipeline", name, *chain.from_iterable(texts)]


def simulate_command(patients: int, out: Path) -> list[str]:
    """In parts where one would not fit into memory."""
    if patients > simulated_source.PART:
        script = [sys.executable, "-m", "bench.simulated_source"]
        return [*script, "--patients", str(patients), "--out", str(out)]
    return pipeline_command("simulate", {"patients": patients, "seed": 1, "out": out})


def stages_of(
    patients: int, dataset: str, home: Path, source: Path, day: str | None
) -> Iterable[Cost]:
    """Every stage of one refresh that draws as many patients as the source has."""
    environment = os.environ | {"SYNDASERA_HOME": str(home), "PYTHONPATH": str(ROOT)}
    release = f"bench-{patients}"
    facts = {"dataset": dataset, "release-id": release, "source": source, "rows": patients}
    facts |= {"label": f"bench {patients}"} | ({"extract-date": day} if day else {})
    measure(pipeline_command("prepare", facts), ROOT, environment)
    for stage in STAGES:
        cost = measure(pipeline_command(stage), home / "runs" / release, environment)
        yield _tell(Cost(patients, stage, *cost))


def _tell(cost: Cost) -> Cost:
    sys.stderr.write(
        f"{cost.patients:>9,} {cost.stage:<9} {cost.seconds:8.1f} s {cost.cpu_seconds:8.1f} CPU-s"
        f" {cost.peak_mb:7.0f} MB\n"
    )
    return cost


def bench(patients: int, scratch: Path) -> list[Cost]:
    """One simulated extract of this size through all stages."""
    home, source = scratch / f"home-{patients}", scratch / f"source-{patients}"
    dataset = declare(home, patients)
    environment = os.environ | {"SYNDASERA_HOME": str(home), "PYTHONPATH": str(ROOT)}
    simulate = measure(simulate_command(patients, source), ROOT, environment)
    first = _tell(Cost(patients, "simulate", *simulate))
    return [first, *stages_of(patients, dataset, home, source, "2022-12-31")]


def small(scratch: Path) -> list[Cost]:
    """A table of 600 rows and 14 columns, each cell drawn for itself from what is declared."""
    home, source = scratch / "home-small", scratch / "small.csv"
    dataset = declare(home, SMALL, "uci_heart")
    columns = next(iter(read_schema(home / "datasets" / f"{dataset}.yaml").tables.values())).columns
    rng = np.random.default_rng(1)
    cells = {
        column.header or column.name: (
            rng.choice(column.categories, SMALL)
            if column.is_categorical
            else rng.uniform(column.lower or 0, column.upper or 1, SMALL).round(column.decimals)
        )
        for column in columns.values()
    }
    whole = [name for name, column in columns.items() if column.decimals == 0]
    rows = pl.DataFrame(cells).with_columns(
        pl.col(columns[name].header or name).cast(pl.Int64)
        for name in whole
        if not columns[name].is_categorical
    )
    rows.write_csv(source)
    return list(stages_of(SMALL, dataset, home, source, None))


def whole(patients: int, scratch: Path) -> list[Cost]:
    """`make run` from an empty home, environment in place: Airflow, all stages, MLflow's and DVC's
    entries; and of it the DAG's run, from its first task to its last, and the sum of its tasks.
    """
    home = scratch / "home-whole"
    environment = os.environ | {"SYNDASERA_HOME": str(home)}
    cost = measure(["make", "run", f"PATIENTS={patients}"], ROOT, environment)
    (database,) = home.rglob("airflow.db")
    days = "(julianday(end_date) - julianday(start_date)) * 86400"
    with closing(sqlite3.connect(database)) as connection:
        run = f"SELECT {days} FROM dag_run WHERE dag_id = 'refresh'"
        tasks = f"SELECT sum({days}) FROM task_instance WHERE dag_id = 'refresh'"
        seconds = [float(connection.execute(query).fetchone()[0]) for query in (run, tasks)]
    return [
        _tell(Cost(patients, refresh_tables.WHOLE, *cost)),
        *(
            _tell(Cost(patients, name, value, 0.0, 0.0))
            for name, value in zip(refresh_tables.OF_AIRFLOW, seconds, strict=True)
        ),
    ]


def keep(rows: list[Cost]) -> None:
    """Replaces what was measured before of these sizes and stages."""
    new = {(row.patients, row.stage) for row in rows}
    others = [
        row
        for row in report.read(refresh_tables.RESULTS)
        if (row["patients"], row["stage"]) not in new
    ]
    merged = sorted([*others, *map(asdict, rows)], key=lambda row: row["patients"])
    report.keep_at(refresh_tables.RESULTS, merged)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", choices=["run", "small", "whole", "write"], help="what to measure, or to write"
    )
    parser.add_argument(
        "--patients",
        type=int,
        nargs="+",
        default=[5000, 20000, 100000, 2000000],
        help="sizes of the simulated extract; of `whole` the first",
    )
    parser.add_argument(
        "--scratch", type=Path, help="folder for sources and homes: 2 million need 60 GB"
    )
    options = parser.parse_args()
    sizes = options.patients if options.what == "run" else options.patients[:1]
    for n in sizes if options.what != "write" else ():
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.scratch) as scratch:
            if options.what == "run":
                keep(bench(n, Path(scratch)))
            else:
                keep(small(Path(scratch)) if options.what == "small" else whole(n, Path(scratch)))
    refresh_tables.write()


if __name__ == "__main__":
    main()
