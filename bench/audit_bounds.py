"""Lower bounds on epsilon by audits of each mechanism, against what is claimed: a table and a plot
in docs/.

    python -m bench.audit_bounds run [--repeats 5]
        an audit whose figures are there already is not done again
    python -m bench.audit_bounds write

Noise cannot be seeded, so a repeat is another audit with noise of its own. About seven minutes of
one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from audit import counts, descent, descent_recurrent
from audit.findings import Finding
from bench import report

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "audit_bounds.json"
PLOT = ROOT / "docs" / "benchmarks" / "audit_bounds.svg"
EPSILONS = (1, 10)

Audit = Callable[[float, int, Path], Finding]  # epsilon, runs on either side, empty folder
# Runs at epsilon 1 and at epsilon 10: as many as ten seconds or so of one core give.
AUDITS: dict[str, tuple[Audit, tuple[int, int]]] = {
    "Noisy counts": (counts.one_way, (200_000, 50_000)),
    "Counts of a tree, two levels": (counts.trees, (4_000, 3_000)),
    "DP-SGD step, one gradient per patient": (
        partial(descent.one_step, "functional"),
        (300_000, 100_000),
    ),
    "DP-SGD step, ghost clipping, linear": (
        partial(descent.one_step, "linear"),
        (300_000, 100_000),
    ),
    "DP-SGD step, ghost clipping, embedding": (
        partial(descent.one_step, "embedding"),
        (300_000, 100_000),
    ),
    "DP-SGD step, recurrent network": (descent_recurrent.recurrent, (5_000, 1_500)),
    "Six DP-SGD steps and three blocks of counts": (descent.composition, (50_000, 15_000)),
}


def measure(repeats: int) -> None:
    for repeat, (name, (audit, runs)), (place, epsilon) in product(
        range(repeats), AUDITS.items(), enumerate(EPSILONS)
    ):
        key = {"mechanism": name, "epsilon": epsilon, "repeat": repeat}
        if report.holds(RESULTS, key):
            continue
        with tempfile.TemporaryDirectory() as folder:
            figures = audit(float(epsilon), runs[place], Path(folder)).figures
        report.add(RESULTS, key | {field: float(value) for field, value in figures.items()})
        sys.stderr.write(
            f"{name}, epsilon {epsilon}, audit {repeat + 1}: at least"
            f" {figures['epsilon_at_least']:.2f}\n"
        )


def spread(values: Sequence[float]) -> str:
    """Mean, in brackets the range."""
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: a line per mechanism and epsilon."""
    lines = [
        (
            "| mechanism | claimed ε | shown by the audit, at least | assuming nothing, at least |"
            " runs with and without the patient | audits |"
        ),
        "|---|---|---|---|---|---|",
    ]
    for epsilon in EPSILONS:
        for name in AUDITS:
            group = [row for row in rows if (row["mechanism"], row["epsilon"]) == (name, epsilon)]
            if group:
                bounds, free_bounds = (
                    [row[field] for row in group]
                    for field in ("epsilon_at_least", "epsilon_at_least_assuming_nothing")
                )
                claimed, runs = group[0]["epsilon_claimed"], group[0]["runs"]
                lines.append(
                    f"| {name} | {claimed:.2f} | {spread(bounds)} | {spread(free_bounds)} |"
                    f" {runs:,.0f} each | {len(group)} |"
                )
    return "\n".join(lines)


def plot(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """A panel per epsilon: the claim as a line, bounds as dots with their range."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    names = list(AUDITS)[::-1]
    for axes, epsilon in zip(figure.subplots(1, 2, sharey=True), EPSILONS, strict=True):
        for field, label, colour, marker, lift in (
            ("epsilon_at_least", "shown by the audit, 95% confidence", "C0", "o", 0.12),
            ("epsilon_at_least_assuming_nothing", "the same, nothing assumed", "0.55", "s", -0.16),
        ):
            bounds = [
                [
                    row[field]
                    for row in rows
                    if (row["mechanism"], row["epsilon"]) == (name, epsilon)
                ]
                for name in names
            ]
            means = np.array([np.mean(values) for values in bounds])
            reach = np.array(
                [
                    [mean - min(values), max(values) - mean]
                    for mean, values in zip(means, bounds, strict=True)
                ]
            ).T
            axes.errorbar(
                means,
                np.arange(len(names)) + lift,
                xerr=reach,
                fmt=marker,
                color=colour,
                markersize=5,
                capsize=2.5,
                label=label,
            )
        axes.axvline(epsilon, color="C3", linewidth=1.5, label="claimed")
        axes.set(
            xlim=(0, 1.1 * epsilon),
            ylim=(-0.6, len(names) - 0.4),
            xlabel="epsilon of at least",
            title=f"Claimed epsilon {epsilon}",
        )
        axes.set_yticks(range(len(names)), names)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    report.save(figure, out)


def write() -> None:
    rows = report.read(RESULTS)
    plot(rows, PLOT)
    report.between("audit bounds", "audit_bounds.py", table(rows), report.EVIDENCE)
    sys.stdout.write(table(rows) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "write"))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if options.command == "run":
        measure(options.repeats)
    write()


if __name__ == "__main__":
    main()
