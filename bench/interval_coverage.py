"""How often 95% intervals hold the truth of the population, on simulated patients at epsilon 1:
those of `pipeline/estimates/`, those of an analysis that takes one synthetic set for real (naive),
and Rubin's rules over several sets.

    python -m bench.interval_coverage ours --patients 5000 --simulations 400
    python -m bench.interval_coverage synthetic --patients 2000 --simulations 40
    python -m bench.interval_coverage write

Each simulation draws its source from one large population, whose own figures are the truth.
`ours` needs the noisy counts alone, so it measures and fits nothing else; `synthetic` fits a whole
model with few steps and draws SETS sets of it. `write` fills the table of docs/estimates.md.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from bench import pathway_data, report
from bench.interval_figures import FIGURES, Answer, Counter, analysis_of, estimate_of, outcomes_of
from pipeline import params
from pipeline.estimates.values import Interval, Z
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.restricted.train import fit_public
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import EventLog, Schema

POOL, POOL_SEED = 200_000, 991  # patients of the population
SETS = 5  # synthetic sets of a release
RESULTS = pathway_data.ROOT / "bench" / "results" / "interval_coverage.json"
DOC = pathway_data.ROOT / "docs" / "estimates.md"
OURS = "ours"
KEYS = ("intervals", "way", "patients", "figure")
FEW_STEPS = {
    "steps": 60,
    "passes": 1,
    "pass_patients": 5_000,
    "calibration_patients": 5_000,
    "pass_steps": 100,
    "pass_candidates": 4,
}


def declaration(patients: int) -> tuple[Schema, EventLog]:
    """For a population of so many."""
    schema = pathway_data.read_declaration()
    population = replace(schema.population, nominal_size=patients)
    schema = replace(schema, population=population)
    assert schema.events is not None
    return schema, schema.events


def truths(log: EventLog, everybody: PatientLog) -> dict[str, float]:
    """Of the whole population; ratios as they are."""
    rows = outcomes_of(log, everybody)
    values = {name: analysis_of(rows, name).value for name in FIGURES}
    return {n: math.exp(v) if FIGURES[n][0] == "ratio" else v for n, v in values.items()}


def model_of(schema: Schema, sample: PatientLog, folder: Path, *, few: bool) -> Synthesizer:
    """At epsilon 1: of few steps, or of one, which measures and learns nothing."""
    nothing = {"steps": 1, "passes": 0, "calibration_patients": 500}
    settings = replace(
        params.load(pathway_data.ROOT / "params.yaml").train,
        table={} if few else {"steps": 1, "first_steps": 1},
        pathway=FEW_STEPS if few else nothing,
    )
    return fit_public(
        schema, sample.patients, sample.events, 1.0, 1e-6, settings, folder, pathway_data.EXTRACT
    )


def some(everybody: PatientLog, n: int, seed: int) -> PatientLog:
    return everybody.of(everybody.patients.sample(n, seed=seed))


def ours(options: argparse.Namespace) -> None:
    """From fresh noisy counts of fresh samples."""
    schema, log = declaration(options.patients)
    everybody = pathway_data.simulate_log(schema, POOL, POOL_SEED)
    truth = truths(log, everybody)
    with tempfile.TemporaryDirectory() as folder:
        sample = some(everybody, options.patients, 1)
        model = model_of(schema, sample, Path(folder) / "model", few=False)
    assert model.pathway is not None
    counter = Counter(everybody, model.noisy_counts, model.pathway)
    outcomes = []
    for seed in range(options.simulations):
        tables = counter.measure(options.patients, seed)
        for name in FIGURES:
            interval = estimate_of(tables, log, name).population
            is_held = interval.holds(truth[name])
            outcomes.append(Outcome(OURS, "measured", options.patients, name, is_held))
        if seed % 50 == 49:
            sys.stderr.write(f"{seed + 1} of {options.simulations} simulations\n")
    keep(options.results, outcomes)


def synthetic(options: argparse.Namespace) -> None:
    """Naive on the first set, Rubin's over all, and ours, of the same release."""
    schema, log = declaration(options.patients)
    everybody = pathway_data.simulate_log(schema, POOL, POOL_SEED)
    truth = truths(log, everybody)
    for seed in range(options.first, options.first + options.simulations):
        with tempfile.TemporaryDirectory() as folder:
            sample = some(everybody, options.patients, seed + 10_000)
            model = model_of(schema, sample, Path(folder) / "model", few=True)
        sets = [
            outcomes_of(log, next(model.sample(options.patients, s, options.patients)))
            for s in range(1, SETS + 1)
        ]
        outcomes = []
        for name in FIGURES:
            goal = math.log(truth[name]) if FIGURES[name][0] == "ratio" else truth[name]
            answers = [analysis_of(one, name) for one in sets]
            own = estimate_of(model.noisy_counts, log, name).population
            answers_held = {
                "naive": naive(answers).holds(goal),
                "Rubin": rubin(answers).holds(goal),
                OURS: own.holds(truth[name]),
            }
            outcomes += [
                Outcome(label, "release", options.patients, name, is_held)
                for label, is_held in answers_held.items()
            ]
        keep(options.results, outcomes)
        sys.stderr.write(f"release {seed} done\n")


def naive(answers: Sequence[Answer]) -> Interval:
    return _normal(answers[0].value, answers[0].variance)


def rubin(answers: Sequence[Answer]) -> Interval:
    """Rubin 1987: variance within, and that between the sets, which all share one noise."""
    values = [answer.value for answer in answers]
    within = float(np.mean([answer.variance for answer in answers]))
    between = float(np.var(values, ddof=1))
    return _normal(float(np.mean(values)), within + (1 + 1 / len(answers)) * between)


def _normal(middle: float, variance: float) -> Interval:
    width = Z * math.sqrt(max(variance, 0.0))
    return Interval(low=middle - width, high=middle + width)


@dataclass(frozen=True)
class Outcome:
    """Whether one interval held the truth."""

    intervals: str  # "ours", "naive", "Rubin"
    way: str  # "measured": noisy counts alone; "release": a whole model
    patients: int
    figure: str
    holds: bool


def keep(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Adds them to the sums by kind and figure."""
    sums = {tuple(row[key] for key in KEYS): row for row in report.read(path)}
    for one in outcomes:
        facts = asdict(one)
        row = sums.setdefault(
            tuple(facts[key] for key in KEYS),
            {key: facts[key] for key in KEYS} | {"simulations": 0, "held": 0},
        )
        row["simulations"] += 1
        row["held"] += int(one.holds)
    report.keep_at(path, list(sums.values()))


def write(options: argparse.Namespace) -> None:
    """The table of docs/estimates.md: coverage, and of how many simulations."""
    sums = {tuple(row[key] for key in KEYS): row for row in report.read(options.results)}
    kinds = list(dict.fromkeys((way, patients, label) for label, way, patients, _ in sums))
    first = next(iter(FIGURES))
    header = [
        f"{label}, {patients:,} patients ({sums[label, way, patients, first]['simulations']})"
        for way, patients, label in kinds
    ]
    lines = ["| figure | " + " | ".join(header) + " |", "|---" * (len(kinds) + 1) + "|"]
    for name in FIGURES:
        rows = [sums[label, way, patients, name] for way, patients, label in kinds]
        shares = [f"{row['held'] / row['simulations']:.1%}" for row in rows]
        lines.append(f"| {name} | " + " | ".join(shares) + " |")
    report.between("interval coverage", "interval_coverage.py", "\n".join(lines), DOC)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for name, run in (("ours", ours), ("synthetic", synthetic), ("write", write)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--results", type=Path, default=RESULTS, help="the file of figures")
        if run is not write:
            command.add_argument("--patients", type=int, required=True, help="of each source")
            command.add_argument("--simulations", type=int, required=True)
        if run is synthetic:
            command.add_argument("--first", type=int, default=0, help="seed of the first release")
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
