"""One-run lower bounds of epsilon beside what is claimed, by kind of outputs: a table and a plot in
docs/.

    python -m bench.canaries --runs 3 --coins 1000

Each run trains once on invented patients with canaries (audit/canaries.py). Runs that are in the
results already are not done again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from audit import canary_data
from audit.canaries import SHARES, run_once
from audit.canary_bounds import ALPHA, DELTA
from bench import report
from pipeline.dp import one_run
from pipeline.dp.one_run import Guesses

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "canaries.json"
PLOT = ROOT / "docs" / "benchmarks" / "canaries.svg"
DATASETS = {"tables": canary_data.tables, "sequences": canary_data.sequences}
EPSILONS = (1.0, 10.0)
Rows = Sequence[dict[str, Any]]


def measure(dataset: str, epsilon: float, coins: int, run: int) -> None:
    """One run; a row for each kind of outputs."""
    key = {"dataset": dataset, "epsilon": epsilon, "coins": coins, "run": run}
    if report.holds(RESULTS, key):
        return
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        results = run_once(
            DATASETS[dataset](coins, np.random.default_rng(run)), epsilon, Path(folder)
        )
    seconds = time.process_time() - started
    for one in results:
        report.add(
            RESULTS,
            {
                **key,
                "path": one.path,
                "claimed": one.claim,
                "lower": one.epsilon,
                "lower_gaussian": one.gaussian_epsilon,
                **{f"accuracy_{g.n_guesses}": g.accuracy for g in one.guesses},
                "run_cpu_seconds": seconds,
            },
        )


def most(coins: int) -> tuple[float, float]:
    """(by epsilon and delta alone, of Gaussian kind): the bounds where every guess is right. No
    audit with so many coins can show more.
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


def table(rows: Rows) -> str:
    """A line per dataset, epsilon, number of coins and kind of outputs: means over runs."""
    lines = [
        (
            "| | epsilon | coins | runs | outputs | claimed | at least (95%) | at least, by (ε, δ)"
            " alone | right of the surest quarter |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    keys = dict.fromkeys(
        (row["dataset"], row["epsilon"], row["coins"], row["path"]) for row in rows
    )
    for dataset, epsilon, coins, path in keys:
        group = [
            row
            for row in rows
            if (row["dataset"], row["epsilon"], row["coins"], row["path"])
            == (dataset, epsilon, coins, path)
        ]
        figures = [
            report.mean([row[name] for row in group], 2)
            for name in ("claimed", "lower_gaussian", "lower", f"accuracy_{coins // 4}")
        ]
        lines.append(
            f"| {dataset} | {epsilon:g} | {coins:,} | {len(group)} | {path} | "
            + " | ".join(figures)
            + " |"
        )
    for coins in sorted({row["coins"] for row in rows}):
        alone, gaussian = most(coins)
        lines.append(
            f"| every guess right | - | {coins:,} | - | - | - | {gaussian:.2f} | {alone:.2f} |"
            " 1.00 |"
        )
    return "\n".join(lines)


def picture(rows: Rows, out: Path) -> None:
    """Per dataset and epsilon: what each kind of outputs is accounted for, as a bar, and what
    single runs showed of it, as points.
    """
    figure = Figure(figsize=(10, 6), layout="constrained")
    for axes, (epsilon, dataset) in zip(
        figure.subplots(2, 2).flat, ((e, d) for e in EPSILONS for d in DATASETS), strict=True
    ):
        group = [row for row in rows if row["dataset"] == dataset and row["epsilon"] == epsilon]
        paths = list(dict.fromkeys(row["path"] for row in group))
        axes.bar(
            range(len(paths)),
            [np.mean([row["claimed"] for row in group if row["path"] == path]) for path in paths],
            width=0.7,
            color="0.88",
            edgecolor="0.4",
            label="claimed",
        )
        sizes = sorted({row["coins"] for row in group})
        for place, coins in enumerate(sizes):
            for name, marker, label in (
                ("lower_gaussian", "o", "at least, of Gaussian kind"),
                ("lower", "x", "at least, by (ε, δ) alone"),
            ):
                points = [
                    (paths.index(row["path"]) + 0.22 * (place - (len(sizes) - 1) / 2), row[name])
                    for row in group
                    if row["coins"] == coins
                ]
                axes.scatter(
                    *zip(*points, strict=True),
                    marker=marker,
                    s=22,
                    color=f"C{place}",
                    zorder=3,
                    clip_on=False,
                    label=f"{label}, {coins:,} coins",
                )
        axes.set_xticks(range(len(paths)), paths)
        axes.set(title=f"{dataset}, ε = {epsilon:g}", ylabel="ε at δ = 1e-6", ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
        if (epsilon, dataset) == (EPSILONS[0], "tables"):
            figure.legend(
                *axes.get_legend_handles_labels(),
                loc="outside lower center",
                ncols=3,
                frameon=False,
            )
    report.save(figure, out)


def write() -> None:
    rows = sorted(
        report.read(RESULTS),
        key=lambda row: (list(DATASETS).index(row["dataset"]), row["epsilon"], row["coins"]),
    )
    picture(rows, PLOT)
    report.between("canaries", "canaries.py", table(rows), report.EVIDENCE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--coins", type=int, default=1000)
    options = parser.parse_args()
    for run in range(options.runs):
        for dataset in DATASETS:
            for epsilon in EPSILONS:
                measure(dataset, epsilon, options.coins, run)
    write()


if __name__ == "__main__":
    main()
