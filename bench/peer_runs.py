"""Other people's synthesizers on our tables: every peer in an environment of its own, on the split
that ours are scored on.

    python -m bench.peer_runs --source adult=PATH uci_heart=PATH simulated_5000
        --peers dpmm-mst ctgan --epsilon 1 3

Rows are written to <out>/<dataset>/<peer>-<epsilon>.parquet, or <peer>.parquet for a peer without
privacy, with a JSON of the same name that holds the costs, or the error where the run failed. What
has a JSON is skipped: delete it to run again. Runs go one after the other, in the order of the
options: datasets within epsilon within peer.

bench/peers/<environment>.in was compiled to its lock by `uv pip compile --python-version 3.11
--no-annotate --no-header --no-emit-find-links`, and for mostlyai with `--no-emit-package
torchvision --no-emit-package torchaudio`: it imports neither, and the package index's builds of the
two do not load beside a CPU build of torch. So a lock is installed by `uv pip sync`, which adds
nothing to it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import polars as pl

from bench.table_data import PEERS, ROOT, Table, tables_of
from pipeline.schema.values import Column

HERE = ROOT / "bench" / "peers"
FOLDER = ROOT / ".peers"
SEED = 1  # of a peer's own randomness; its noise often has none


@dataclass(frozen=True)
class Peer:
    environment: str
    private: bool


RUNS: Mapping[str, Peer] = MappingProxyType(
    {
        "dpmm-aim": Peer("dpmm", True),
        "dpmm-mst": Peer("dpmm", True),
        "smartnoise-dpctgan": Peer("smartnoise", True),
        "mostlyai-dp": Peer("mostlyai", True),
        "mostlyai": Peer("mostlyai", False),
        "ctgan": Peer("ctgan", False),
    }
)


@dataclass(frozen=True)
class Task:
    """One run. `epsilon` is None for a peer without privacy."""

    peer: str
    dataset: str
    epsilon: float | None

    @property
    def name(self) -> str:
        return self.peer if self.epsilon is None else f"{self.peer}-{self.epsilon:g}"


@dataclass(frozen=True)
class Prepared:
    """What a run reads, and what it may know of the dataset."""

    train: Path
    domain: Path
    rows: int  # as many are drawn as were trained on
    delta: float


def python_of(environment: str, folder: Path) -> Path:
    """The interpreter of a peer's environment, which is made, or made again when its lock has
    changed.
    """
    home, lock = folder / environment, (HERE / f"{environment}.lock").read_text(encoding="utf-8")
    python, installed = home / "bin" / "python", home / "installed.lock"
    if not installed.exists() or installed.read_text(encoding="utf-8") != lock:
        find_links = (
            os.environ.get("PIP_FIND_LINKS")
            or subprocess.run(
                [sys.executable, "-m", "pip", "config", "get", "global.find-links"],
                capture_output=True,
                text=True,
                check=False,
            ).stdout.strip()
        )
        uv = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
            "UV_FIND_LINKS": find_links
        }
        subprocess.run(
            ["uv", "venv", "-q", "--allow-existing", "--python", "3.11", str(home)],
            env=uv,
            check=True,
        )
        subprocess.run(
            ["uv", "pip", "sync", "-q", "--python", str(python), str(HERE / f"{environment}.lock")],
            env=uv,
            check=True,
        )
        installed.write_text(lock, encoding="utf-8")
    return python


def column_domain(column: Column) -> dict[str, object]:
    """The public domain of one column, as generate.py reads it. Bounds of integers are integers; a
    date is the number of its day.
    """
    if column.kind in ("categorical", "ordinal"):
        return {
            "kind": column.kind,
            "categories": list(column.categories),
            "nullable": column.nullable,
        }
    bounds = {"lower": column.lower, "upper": column.upper}
    if column.decimals == 0:
        bounds = {side: int(value) for side, value in bounds.items() if value is not None}
    return {
        "kind": "continuous",
        "decimals": column.decimals,
        "nullable": column.nullable,
        **bounds,
    }


def prepare(table: Table, out: Path) -> Prepared:
    """Training rows of split PEERS without the patient's id, and the domain, as files under
    `out`.
    """
    train, _ = table.split(PEERS)
    columns = {name: column for name, column in table.schema.patients.items() if column.is_modelled}
    dates = [name for name, column in columns.items() if column.kind == "date"]
    out.mkdir(parents=True, exist_ok=True)
    paths = out / "train.parquet", out / "domain.json"
    train.select(list(columns)).with_columns(pl.col(dates).to_physical()).write_parquet(paths[0])
    domain = {name: column_domain(column) for name, column in columns.items()}
    paths[1].write_text(json.dumps(domain, indent=1) + "\n", encoding="utf-8")
    return Prepared(*paths, rows=len(train), delta=table.schema.population.delta)


def run_peer(
    task: Task, prepared: Prepared, python: Path, rows: Path, timeout: float
) -> dict[str, object]:
    """Costs of one run, or its error. The child has one thread, no path to our code, and no hub of
    models to ask.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    command = [
        str(python),
        str(HERE / "generate.py"),
        task.peer,
        "--train",
        str(prepared.train),
        "--domain",
        str(prepared.domain),
        "--epsilon",
        str(task.epsilon or 0.0),
        "--delta",
        str(prepared.delta),
        "--rows",
        str(prepared.rows),
        "--seed",
        str(SEED),
        "--out",
        str(rows),
    ]
    try:
        process = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"stopped after {timeout:.0f} s"}
    if process.returncode != 0:
        return {"error": process.stderr.strip()[-2000:] or f"exit status {process.returncode}"}
    return json.loads(process.stdout.strip().splitlines()[-1])


def tasks(peers: list[str], epsilons: list[float], datasets: list[str]) -> list[Task]:
    return [
        Task(peer, dataset, epsilon)
        for peer in peers
        for epsilon in (epsilons if RUNS[peer].private else [None])
        for dataset in datasets
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source",
        nargs="+",
        required=True,
        metavar="DATASET[=PATH]",
        help="datasets, public ones with their folders",
    )
    parser.add_argument("--peers", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--epsilon", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--environments", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path, default=FOLDER / "rows")
    parser.add_argument(
        "--timeout", type=float, default=2400.0, help="seconds that one run may take"
    )
    options = parser.parse_args()
    tables = {table.name: table for table in tables_of(options.source)}
    waiting = [
        task
        for task in tasks(options.peers, options.epsilon, list(tables))
        if not (options.out / task.dataset / f"{task.name}.json").exists()
    ]
    prepared = {
        name: prepare(tables[name], options.out / name)
        for name in dict.fromkeys(task.dataset for task in waiting)
    }
    for task in waiting:
        python = python_of(RUNS[task.peer].environment, options.environments)
        out, started = options.out / task.dataset, time.perf_counter()
        costs = run_peer(
            task, prepared[task.dataset], python, out / f"{task.name}.parquet", options.timeout
        )
        (out / f"{task.name}.json").write_text(json.dumps(costs) + "\n", encoding="utf-8")
        sys.stderr.write(
            f"{task.dataset:<15} {task.name:<22} {time.perf_counter() - started:6.0f} s "
            f" {str(costs)[-160:]}\n"
        )


if __name__ == "__main__":
    main()
