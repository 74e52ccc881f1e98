"""The pathway model end to end on simulated patients, beside a fresh real sample and the flattened
baseline.

    python -m bench.pathways run --patients 20000 100000 --epsilon 1 --seeds 11 12 13
        a run whose figures are there already is not done again
    python -m bench.pathways run --patients 2000000 --delta 1e-8 --seeds 11
        scored on the first 100,000 synthetic patients
    python -m bench.pathways run --seeds 11 --settings '{"recurrent": true}'
        another model than the default
    python -m bench.pathways write
        writes docs/benchmarks.md from bench/results/

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

import polars as pl

from bench import pathway_data, pathway_rules, pathway_tables, report
from pipeline import params
from pipeline.adapters import partition_tables
from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.evaluation import pathway_score
from pipeline.models.synthesizer.fit import fit_synthesizer
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.models.synthesizer.plan import joint_plan
from pipeline.params import PrivacyParams
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

PARTITION = 20_000
MAX_SCORED = 100_000  # patients, at most
RESULTS = pathway_data.ROOT / "bench" / "results" / "pathways.json"


def schema_for(n: int, delta: float) -> Schema:
    """The declaration for a population of n."""
    schema = pathway_data.read_declaration()
    return dataclasses.replace(
        schema, population=dataclasses.replace(schema.population, nominal_size=n, delta=delta)
    )


def ours(
    n: int, epsilon: float, delta: float, seed: int, settings: dict[str, Any]
) -> dict[str, Any]:
    """Figures and costs of one fit and of as many synthetic patients."""
    schema = schema_for(n, delta)
    model, fit_costs = fit(schema, n, PrivacyParams(epsilon=epsilon, delta=delta), seed, settings)
    synthetic, tables, draw_costs = draw(model, schema, n, seed)
    figures = pathway_score.figures(
        schema, pathway_data.simulate_log(schema, min(n, MAX_SCORED), seed + 100), synthetic
    )
    rules = pathway_rules.judge(schema, tables, synthetic) if n >= MAX_SCORED else []
    return figures | fit_costs | draw_costs | {"rules": rules}


def fit(
    schema: Schema, n: int, privacy: PrivacyParams, seed: int, settings: dict[str, Any]
) -> tuple[Synthesizer, dict[str, float]]:
    """(model, costs) of planning and fitting on n simulated patients."""
    train_params = dataclasses.replace(
        params.load(pathway_data.ROOT / "params.yaml").train, pathway=settings
    )
    with tempfile.TemporaryDirectory() as folder:
        patients, events = pathway_data.simulate_to_files(schema, n, seed, Path(folder))
        simulated_mb, wall, cpu = peak_mb(), time.perf_counter(), time.process_time()
        plan = joint_plan(schema, privacy, train_params, pathway_data.EXTRACT)
        tape = Tape()
        model = fit_synthesizer(
            schema,
            patients,
            events,
            plan,
            store=MeasurementStore(Path(folder) / "counts"),
            tape=tape,
            noise=NoiseStream(),
            checkpoint=Path(folder) / "checkpoint",
            progress=_say,
        )
    tape.check(plan.dp_event)
    return model, {
        "simulated_mb": simulated_mb,
        "fit_seconds": time.perf_counter() - wall,
        "fit_cpu_seconds": time.process_time() - cpu,
        "fit_mb": peak_mb(),
    }


def draw(
    model: Synthesizer, schema: Schema, n: int, seed: int
) -> tuple[PatientLog, dict[str, pl.DataFrame], dict[str, float]]:
    """(canonical log, tables, costs) of n synthetic patients; log and tables are those of the first
    MAX_SCORED.
    """
    wall, cpu, parts = time.perf_counter(), time.process_time(), []
    partitions = partition_tables(
        schema, model.sample(n, seed=seed, partition_rows=PARTITION), pathway_data.EXTRACT
    )
    for number, part in enumerate(partitions):
        if number * PARTITION < MAX_SCORED:
            parts.append(part)
    costs = {
        "draw_seconds": time.perf_counter() - wall,
        "patients_per_cpu_second": n / (time.process_time() - cpu),
        "peak_mb": peak_mb(),
    }
    log = PatientLog(
        pl.concat(log.patients for log, _ in parts),
        pl.concat(log.pathways for log, _ in parts),
    )
    tables = {
        name: pl.concat(tables[name] for _, tables in parts)
        for name in schema.tables
        if name in parts[0][1]
    }
    return log, tables, costs


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _say(line: str) -> None:
    sys.stderr.write(f"  {line}\n")


def floor(n: int, seed: int) -> dict[str, float | None]:
    """A fresh sample of the population in place of synthetic patients."""
    schema = schema_for(n, 1e-6)
    return pathway_score.figures(
        schema,
        *(
            pathway_data.simulate_log(schema, min(n, MAX_SCORED), seed + offset)
            for offset in (100, 200)
        ),
    )


def run(options: argparse.Namespace) -> None:
    for seed in options.seeds:
        for n in options.patients:
            ours_keys = [
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
            for key in [
                *ours_keys,
                {"patients": min(n, MAX_SCORED), "model": "real", "seed": seed},
            ]:
                measure(key)


def measure(key: dict[str, Any]) -> None:
    if report.holds(RESULTS, key):
        return
    sys.stderr.write(f"{key}\n")
    process = subprocess.run(
        [sys.executable, "-m", "bench.pathways", "one", json.dumps(key)],
        cwd=pathway_data.ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    report.add(RESULTS, key | json.loads(process.stdout))


def one(options: argparse.Namespace) -> None:
    key = options.key
    scores = (
        floor(key["patients"], key["seed"])
        if key["model"] == "real"
        else ours(key["patients"], key["epsilon"], key["delta"], key["seed"], key["settings"])
    )
    sys.stdout.write(json.dumps(scores))


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
