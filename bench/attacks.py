"""The attacks of an evaluation on simulated patients whose answer is known.

    python -m bench.attacks fresh --seeds 11 12 13
        a fresh sample in place of a synthetic table: nothing may be found
    python -m bench.attacks copies --seeds 11 12 13 --share 0.01
        the same with copies of a share of the training patients in it: they must be found
    python -m bench.attacks release --seeds 11 12 13 --epsilon 1
        what our model makes of the training patients: nothing may be found
    python -m bench.attacks cost --patients 200000
        time and memory

Each takes --patients and --holdout; the training patients have the run's seed, the holdout seed +
100, the fresh sample seed + 200. Prints one line per attack: mean rate, control and advantage over
the seeds, and in how many it was found. docs/attacks.md has the figures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from bench import pathway_data, pathways
from pipeline.evaluation.attacks import run_attacks
from pipeline.evaluation.findings import Risk
from pipeline.params import PrivacyParams
from pipeline.schema.patient_log import ID, PatientLog, concat

DELTA = 1e-6
COPIES_FROM = 10**12  # ids of planted patients: beyond all others


def plant(train: PatientLog, synthetic: PatientLog, share: float, seed: int) -> PatientLog:
    """The synthetic log with copies of this share of the training patients in place of as many of
    its own.
    """
    n = round(share * len(train.patients))
    copies = train.of(train.patients.sample(n, seed=seed))
    others = synthetic.of(synthetic.patients.sample(len(synthetic.patients) - n, seed=seed))
    fresh_ids = (pl.col(ID) + COPIES_FROM).alias(ID)
    events = None if copies.events is None else copies.events.with_columns(fresh_ids)
    return concat([others, PatientLog(copies.patients.with_columns(fresh_ids), events)])


def run(arguments: argparse.Namespace, seed: int) -> list[Risk]:
    """One seed of one command."""
    schema = pathway_data.read_declaration()
    n = arguments.patients
    train = pathway_data.simulate_log(schema, n, seed)
    holdout = pathway_data.simulate_log(schema, arguments.holdout, seed + 100)
    if arguments.command == "release":
        schema = pathways.schema_for(n, DELTA)
        privacy = PrivacyParams(epsilon=arguments.epsilon, delta=DELTA)
        model, _ = pathways.fit(schema, n, privacy, seed, {})
        synthetic, _, _ = pathways.draw(model, schema, n, seed)
    else:
        synthetic = pathway_data.simulate_log(schema, n, seed + 200)
    if arguments.command == "copies":
        synthetic = plant(train, synthetic, arguments.share, seed)
    start = time.perf_counter()
    risks = run_attacks(schema, train, holdout, synthetic, _timer(start))
    _say(f"seed {seed}: {time.perf_counter() - start:.0f} s, {pathways.peak_mb():.0f} MB")
    return risks


def _timer(start: float) -> Callable[[str], None]:
    return lambda line: _say(f"  {line}: {time.perf_counter() - start:.1f} s")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def lines(runs: Sequence[Sequence[Risk]]) -> list[str]:
    """Of a Markdown table, a row for each attack."""
    rows = ["| attack | rate | control | advantage | found |", "|---|---|---|---|---|"]
    for same in zip(*runs, strict=True):
        means = (
            float(np.mean([getattr(risk, name).value for risk in same]))
            for name in ("rate", "control", "advantage")
        )
        n_alarms = sum(risk.is_found for risk in same)
        cells = [same[0].attack, *(f"{mean:.4f}" for mean in means), f"{n_alarms} of {len(same)}"]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("fresh", "copies", "release", "cost"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[11])
    parser.add_argument("--patients", type=int, default=5_000)
    parser.add_argument("--holdout", type=int, default=1_250)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--epsilon", type=float, default=1.0)
    arguments = parser.parse_args()
    runs = [run(arguments, seed) for seed in arguments.seeds]
    sys.stdout.write("\n".join(lines(runs)) + "\n")


if __name__ == "__main__":
    main()
