"""Lower bounds of epsilon beside what is claimed, by kind of outputs: a table and a plot in docs/.

    python -m bench.canaries often --batches 4 --runs 75 --datasets tables --epsilons 1 10
    python -m bench.canaries once --batches 2
    python -m bench.canaries write

Made-up patients with canaries (audit/canaries.py). `often`: batches of runs of those parts of the
train stage that read rows; `once`: single runs of the whole stage with 1,000 coins. Batches that
are in the results already are not done again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from audit import canary_data
from audit.canaries import COINS, FEW_COINS, events_of, plan_of, run_often
from audit.canary_bounds import ALPHA, DELTA, SHARES, PathResults
from audit.canary_data import Invented
from audit.canary_training import reading_parts, whole
from bench import report
from pipeline.dp import one_run
from pipeline.dp.gaussian import gaussian_mu
from pipeline.dp.one_run import Guesses
from pipeline.dp.tradeoff import tradeoff

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "bench" / "results" / "canary_runs.json"  # what each batch of runs told
RESULTS = ROOT / "bench" / "results" / "canaries.json"  # what all batches show
PLOT = ROOT / "docs" / "benchmarks" / "canaries.svg"
OFTEN, ONCE = "many runs", "one run of the whole stage"
DATASETS: dict[str, Mapping[str, Callable[[int, np.random.Generator], Invented]]] = {
    OFTEN: canary_data.FEW_OTHERS,
    ONCE: {"tables": canary_data.tables, "sequences": canary_data.sequences},
}
STAGES = {OFTEN: reading_parts, ONCE: whole}
EPSILONS = (1.0, 10.0)
SEED = 1000  # of the canaries of the first batch; settings were chosen on others
Rows = Sequence[dict[str, Any]]


def measure(kind: str, dataset: str, epsilon: float, batch: int, runs: int) -> None:
    """One batch with canaries of its own; a row for each kind of outputs."""
    coins = FEW_COINS[epsilon] if kind == OFTEN else COINS
    key = {"kind": kind, "dataset": dataset, "epsilon": epsilon, "coins": coins, "batch": batch}
    if report.holds(RUNS, key):
        return
    started = time.process_time()
    data = DATASETS[kind][dataset](coins, np.random.default_rng(SEED + batch))
    with tempfile.TemporaryDirectory() as folder:
        results, rests = run_often(data, epsilon, runs, STAGES[kind], Path(folder))
    seconds = time.process_time() - started
    noise = [rest.share_of_claim for rest in rests if rest.places >= 1000]
    for one in results:
        report.add(
            RUNS,
            {
                **key,
                "runs": runs,
                "path": one.path,
                "advantages": [round(float(value), 4) for value in one.advantages],
                "guesses": [[guesses.n_guesses, guesses.correct] for guesses in one.guesses],
                "least_noise": min(noise),
                "most_noise": max(noise),
                "cpu_seconds": seconds,
            },
        )


def summary(rows: Rows) -> list[dict[str, Any]]:
    """Of batches, a row for each kind of runs, dataset, epsilon and kind of outputs: what all of
    them show together, or for single runs their mean.
    """
    events, answer = {}, []
    names = ("kind", "dataset", "epsilon", "coins", "path")
    for key in dict.fromkeys(tuple(row[name] for name in names) for row in rows):
        group = [row for row in rows if tuple(row[name] for name in names) == key]
        kind, dataset, epsilon, _, path = key
        if (kind, dataset, epsilon) not in events:
            events[kind, dataset, epsilon] = _events(kind, dataset, epsilon)
        groups = [group] if kind == OFTEN else [[row] for row in group]
        parts = [_together(batches, events[kind, dataset, epsilon][path]) for batches in groups]
        claim = parts[0]
        answer.append(
            {
                **dict(zip(names, key, strict=True)),
                "runs": sum(row["runs"] for row in group),
                "claimed": claim.claim,
                "claimed_advantage": tradeoff(claim.event).advantage,
                "advantage": float(np.mean([part.advantages.mean() for part in parts])),
                "shown": claim.shown_epsilon if kind == OFTEN else None,
                "approximately": claim.approximate_epsilon if kind == OFTEN else None,
                "lower_gaussian": [part.gaussian_epsilon for part in parts],
                "lower": [part.epsilon for part in parts],
                "least_noise": min(row["least_noise"] for row in group),
                "most_noise": max(row["most_noise"] for row in group),
                "cpu_seconds_of_a_run": sum(row["cpu_seconds"] for row in group)
                / sum(row["runs"] for row in group),
            }
        )
    return answer


def _events(kind: str, dataset: str, epsilon: float) -> dict[str, Any]:
    """What each kind of outputs is accounted for."""
    data = DATASETS[kind][dataset](1, np.random.default_rng(SEED))
    return events_of(plan_of(data, epsilon))


def _together(rows: Rows, event: Any) -> PathResults:
    coins = sum(row["coins"] * row["runs"] for row in rows)
    guesses = tuple(
        Guesses(
            coins=coins,
            n_guesses=sum(row["guesses"][place][0] for row in rows),
            correct=sum(row["guesses"][place][1] for row in rows),
        )
        for place in range(len(rows[0]["guesses"]))
    )
    advantages = np.concatenate([row["advantages"] for row in rows])
    return PathResults(rows[0]["path"], event, guesses, advantages)


def most(coins: int) -> tuple[float, float]:
    """(by epsilon and delta alone, of Gaussian kind): the bounds where every guess is right. No
    audit from outputs alone with so many coins can show more.
    """
    perfect = [
        Guesses(coins=coins, n_guesses=round(share * coins), correct=round(share * coins))
        for share in SHARES
    ]
    part = ALPHA / len(SHARES)
    return (
        max(one_run.epsilon_bound(guesses, DELTA, part) for guesses in perfect),
        max(one_run.gaussian_epsilon_bound(guesses, DELTA, part) for guesses in perfect),
    )


def ideal(epsilon: float, coins: int) -> tuple[float, float]:
    """(by epsilon and delta alone, of Gaussian kind): the bounds where a Gaussian of this epsilon
    answers for each coin by itself, and guesses are right as often as is to be expected.
    """
    half, each = gaussian_mu(epsilon, DELTA) / 2, NormalDist().cdf
    bounds = [(0.0, 0.0)]
    for share in SHARES:
        low, high = 0.0, 10.0 + half
        while high - low > 1e-9:  # scores at least so far from 0 are guessed
            middle = (low + high) / 2
            more = each(half - middle) + each(-half - middle) > share
            low, high = (middle, high) if more else (low, middle)
        n_guesses = round(share * coins)
        correct = round(n_guesses * each(half - low) / share)
        guesses = Guesses(coins=coins, n_guesses=n_guesses, correct=min(correct, n_guesses))
        part = ALPHA / len(SHARES)
        bounds.append(
            (
                one_run.epsilon_bound(guesses, DELTA, part),
                one_run.gaussian_epsilon_bound(guesses, DELTA, part),
            )
        )
    return max(bound[0] for bound in bounds), max(bound[1] for bound in bounds)


def table(rows: Rows) -> str:
    """A line per kind of runs, dataset, epsilon and kind of outputs; then what nobody passes who
    sees outputs alone.
    """
    lines = [
        "| | ε | outputs | claimed ε | runs | coins of a run | at least (95%), all else known"
        " | the same by Student's t | at least (95%), from outputs alone | by (ε, δ) alone |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in (OFTEN, ONCE):
        for row in (row for row in rows if row["kind"] == kind):
            bound, near = (
                "-" if row[name] is None else f"{row[name]:.2f}"
                for name in ("shown", "approximately")
            )
            lines.append(
                f"| {row['dataset']}, {kind} | {row['epsilon']:g} | {row['path']} |"
                f" {row['claimed']:.2f} | {row['runs']:,} | {row['coins']:,} | {bound} | {near} |"
                f" {report.mean(row['lower_gaussian'], 2)} | {report.mean(row['lower'], 2)} |"
            )
    coins = sorted({row["coins"] * (row["runs"] if row["kind"] == OFTEN else 1) for row in rows})
    for epsilon in EPSILONS:
        for n in coins:
            alone, gaussian = ideal(epsilon, n)
            lines.append(
                f"| a Gaussian for each coin | {epsilon:g} | - | {epsilon:.2f} | - | {n:,} in all |"
                f" - | - | {gaussian:.2f} | {alone:.2f} |"
            )
    alone, gaussian = most(COINS)
    lines.append(
        f"| every guess right | - | - | - | - | {COINS:,} | - | - | {gaussian:.2f} | {alone:.2f} |"
    )
    return "\n".join(lines)


def picture(rows: Rows, out: Path) -> None:
    """Per dataset and epsilon: what each kind of outputs is accounted for, as a bar, and what was
    shown of it, as points.
    """
    figure = Figure(figsize=(10, 6), layout="constrained")
    panels = [(epsilon, dataset) for epsilon in EPSILONS for dataset in DATASETS[OFTEN]]
    for axes, (epsilon, dataset) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        group = [row for row in rows if row["dataset"] == dataset and row["epsilon"] == epsilon]
        paths = list(dict.fromkeys(row["path"] for row in group))
        claims = {row["path"]: row["claimed"] for row in group}
        axes.bar(
            range(len(paths)),
            [claims[path] for path in paths],
            width=0.7,
            color="0.88",
            edgecolor="0.4",
            label="claimed",
        )
        for kind, name, marker, colour, place, label in (
            (OFTEN, "shown", "D", "C3", -0.25, "at least, many runs, all else known"),
            (OFTEN, "approximately", "s", "C2", -0.1, "the same by Student's t"),
            (OFTEN, "lower_gaussian", "o", "C0", 0.08, "at least, many runs, outputs alone"),
            (ONCE, "lower_gaussian", "x", "C1", 0.23, "at least, one run, outputs alone"),
        ):
            points = [
                (paths.index(row["path"]) + place, value)
                for row in group
                if row["kind"] == kind
                for value in np.atleast_1d(row[name])
            ]
            if points:
                axes.scatter(
                    *zip(*points, strict=True),
                    marker=marker,
                    s=26,
                    color=colour,
                    zorder=3,
                    clip_on=False,
                    label=label,
                )
        axes.set_xticks(range(len(paths)), paths)
        axes.set(title=f"{dataset}, ε = {epsilon:g}", ylabel="ε at δ = 1e-6", ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    report.save(figure, out)


def write() -> None:
    rows = sorted(
        report.read(RUNS),
        key=lambda row: (
            row["kind"] != OFTEN,
            list(DATASETS[OFTEN]).index(row["dataset"]),
            row["epsilon"],
        ),
    )
    report.keep_at(RESULTS, summary(rows))
    picture(report.read(RESULTS), PLOT)
    report.between("canaries", "canaries.py", table(report.read(RESULTS)), report.EVIDENCE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("often", "once", "write"))
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--first", type=int, default=0, help="number of the first batch")
    parser.add_argument("--runs", type=int, default=75, help="of a batch of many runs")
    parser.add_argument("--datasets", nargs="+", default=["tables", "sequences"])
    parser.add_argument("--epsilons", nargs="+", type=float, default=EPSILONS)
    options = parser.parse_args()
    if options.command == "write":
        write()
        return
    kind, runs = (OFTEN, options.runs) if options.command == "often" else (ONCE, 1)
    for batch in range(options.first, options.first + options.batches):
        for dataset in options.datasets:
            for epsilon in options.epsilons:
                measure(kind, dataset, epsilon, batch, runs)


if __name__ == "__main__":
    main()
