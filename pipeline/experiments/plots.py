"""One picture for each experiment: what its table says, at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.experiments import census_balance, heart_balance, substitution
from pipeline.experiments.arms import EPSILONS, TEST, epsilon_words
from pipeline.experiments.results import Results, Row, mean_with_interval

BLUE, ORANGE = "#1f5fa8", "#c4661f"


def plot(name: str, results: Results, out: Path) -> Path:
    """Writes the picture."""
    rows = [row for row in results.select(experiment=name) if row["classifier"] == "mean"]
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    if name == substitution.NAME:
        _by_part(axes, rows)
    else:
        experiment = heart_balance if name == heart_balance.NAME else census_balance
        _gains(axes, rows, experiment.ARMS, experiment.PLOTTED)
    figure.savefig(out, dpi=150, metadata={"Software": ""})
    return out


def _gains(axes: Axes, rows: Sequence[Row], arms: Sequence[str], names: Sequence[str]) -> None:
    """Dots with intervals: gain over the real rows by measure and epsilon."""
    labels: list[str] = []
    for epsilon in EPSILONS:
        here = [row for row in rows if row["epsilon"] == epsilon]
        for measure in names if here else ():
            y = -len(labels)
            labels.append(f"{measure}, {epsilon_words(epsilon)}")
            base = {row["split"]: row[measure] for row in here if row["arm"] == arms[0]}
            for place, (arm, colour) in enumerate(zip(arms[1:], (BLUE, ORANGE), strict=True)):
                own = {row["split"]: row[measure] for row in here if row["arm"] == arm}
                mean, low, high = (
                    100 * v
                    for v in mean_with_interval([own[s] - base[s] for s in own], TEST / (1 - TEST))
                )
                at = y - 0.15 + 0.3 * place
                axes.plot([low, high], [at, at], color=colour, linewidth=1.5)
                axes.plot(mean, at, "o", color=colour, label=arm if y == 0 else None)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks([-place for place in range(len(labels))], labels, fontsize=8)
    axes.set_xlabel("gain over the real rows alone, points")
    axes.figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)


def _by_part(axes: Axes, rows: Sequence[Row]) -> None:
    """A line for each set at each epsilon: loss of accuracy by the part that is synthetic."""
    sets = list(dict.fromkeys(row["set"] for row in rows))
    epsilons = [e for e in EPSILONS if any(row["epsilon"] == e for row in rows)]
    for epsilon, style in zip(epsilons, ("-", "--", ":", "-."), strict=False):
        means = []
        for part in substitution.PARTS:
            losses = []
            for name in sets:
                own = [r for r in rows if (r["set"], r["epsilon"]) == (name, epsilon)]
                level = {r["split"]: r["accuracy"] for r in own if r["part"] == 0.0}
                now = {r["split"]: r["accuracy"] for r in own if r["part"] == part}
                losses += [now[s] - level[s] for s in now]
            means.append(100 * float(np.mean(losses)))
        axes.plot(
            [100 * part for part in substitution.PARTS],
            means,
            style,
            marker="o",
            color=BLUE,
            label=epsilon_words(epsilon),
        )
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlabel("synthetic training rows, %")
    axes.set_ylabel("accuracy, points")
    axes.set_title(f"Mean of {len(sets)} tables and six classifiers", fontsize=10)
    axes.legend(frameon=False)
