"""The pathway model end to end on simulated patients, beside a fresh real sample and the flattened
baseline.

    python bench/pathways.py run --patients 20000 100000 --epsilon 1 --seeds 11 12 13    (what is
    measured already is not run again) python bench/pathways.py run --patients 2000000 --delta 1e-8
    --seeds 11              (scored on the first 100,000 synthetic patients) python
    bench/pathways.py run --seeds 11 --settings '{"recurrent": true}'             (another model
    than the default) python bench/pathways.py write
    (docs/benchmarks.md from bench/results/)

Static rows are synthetic, too; what is scored are canonical pathways, as an extract holds them.
Settings are the project's defaults, chosen with seed 1; a run's patients have its seed, its holdout
seed + 100, the floor seed + 200. Every run is a process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pathway_data
import pathway_rules
import pathway_score
import pathway_tables
import polars as pl
import report

from pipeline import params
from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models import synthesizer
from pipeline.params import PrivacyParams
from pipeline.released.sample import draw
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

PARTITION = 20_000
SCORED = 100_000  # patients, at most
RESULTS = pathway_data.ROOT / "bench" / "results" / "pathways.json"


def told(n: int, delta: float) -> Schema:
    """The declaration for a population of n."""
    declared = pathway_data.declared()
    return dataclasses.replace(
        declared, population=dataclasses.replace(declared.population, nominal_size=n, delta=delta)
    )


def ours(
    n: int, epsilon: float, delta: float, seed: int, settings: dict[str, Any]
) -> dict[str, Any]:
    """Figures and costs of one fit and of as many synthetic patients."""
    declared = told(n, delta)
    train_params = dataclasses.replace(
        params.load(pathway_data.ROOT / "params.yaml").train, pathway=settings
    )
    with tempfile.TemporaryDirectory() as folder:
        patients, events = pathway_data.stored(declared, n, seed, Path(folder))
        costs, wall, cpu = {"simulated_mb": peak_mb()}, time.perf_counter(), time.process_time()
        made = synthesizer.plan(
            declared,
            PrivacyParams(epsilon=epsilon, delta=delta),
            train_params,
            pathway_data.EXTRACT,
        )
        tape = Tape()
        model = synthesizer.fit(
            declared,
            patients,
            events,
            made,
            store=MeasurementStore(Path(folder) / "counts"),
            tape=tape,
            noise=NoiseStream(),
            checkpoint=Path(folder),
            progress=lambda line: sys.stderr.write(f"  {line}\n"),
        )
    tape.check(made.dp_event)
    costs |= {
        "fit_seconds": time.perf_counter() - wall,
        "fit_cpu_seconds": time.process_time() - cpu,
        "fit_mb": peak_mb(),
    }
    wall, cpu, kept = time.perf_counter(), time.process_time(), []
    for done, part in enumerate(draw(declared, model, n, seed, PARTITION, pathway_data.EXTRACT)):
        if done * PARTITION < SCORED:
            kept.append(part)
    costs |= {
        "draw_seconds": time.perf_counter() - wall,
        "patients_per_cpu_second": n / (time.process_time() - cpu),
        "peak_mb": peak_mb(),
    }
    drawn = PatientLog(
        pl.concat(log.patients for log, _ in kept),
        pl.concat(log.pathways for log, _ in kept),
    )
    figures = pathway_score.figures(
        declared, pathway_data.simulated(declared, min(n, SCORED), seed + 100), drawn
    )
    tables = {
        name: pl.concat(tables[name] for _, tables in kept)
        for name in declared.tables
        if name in kept[0][1]
    }
    return (
        figures
        | costs
        | {"rules": pathway_rules.judged(declared, tables, drawn) if n >= SCORED else []}
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def floor(n: int, seed: int) -> dict[str, float]:
    """A fresh sample of the population in place of synthetic patients."""
    declared = told(n, 1e-6)
    return pathway_score.figures(
        declared,
        *(pathway_data.simulated(declared, min(n, SCORED), seed + offset) for offset in (100, 200)),
    )


def run(options: argparse.Namespace) -> None:
    for seed in options.seeds:
        for n in options.patients:
            mine = [
                {
                    "patients": n,
                    "model": "ours",
                    "epsilon": epsilon,
                    "delta": options.delta,
                    "seed": seed,
                    "settings": options.settings,
                }
                for epsilon in options.epsilon
            ]
            for key in [*mine, {"patients": min(n, SCORED), "model": "real", "seed": seed}]:
                measure(key)


def measure(key: dict[str, Any]) -> None:
    if report.holds(RESULTS, key):
        return
    sys.stderr.write(f"{key}\n")
    done = subprocess.run(
        [sys.executable, __file__, "one", json.dumps(key)], stdout=subprocess.PIPE, check=True
    )
    report.add(RESULTS, key | json.loads(done.stdout))


def one(options: argparse.Namespace) -> None:
    key = options.key
    found = (
        floor(key["patients"], key["seed"])
        if key["model"] == "real"
        else ours(key["patients"], key["epsilon"], key["delta"], key["seed"], key["settings"])
    )
    sys.stdout.write(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("--patients", type=int, nargs="+", default=[20_000, 100_000])
    runs.add_argument("--epsilon", type=float, nargs="+", default=[1.0])
    runs.add_argument("--delta", type=float, default=1e-6)
    runs.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    runs.add_argument(
        "--settings",
        type=json.loads,
        default={},
        help="train.pathway as JSON, to try others than the defaults",
    )
    commands.add_parser("one").add_argument("key", type=json.loads)
    commands.add_parser("write")
    options = parser.parse_args()
    if options.command == "write":
        pathway_tables.write(report.read(RESULTS))
    else:
        {"run": run, "one": one}[options.command](options)


if __name__ == "__main__":
    main()
