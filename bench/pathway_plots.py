"""Curves of the pathway benchmark: each figure over epsilon and over patients, the floor beside
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import report

PANELS = {
    "bigram_tvd": "bigram TVD",
    "trigram_tvd": "trigram TVD",
    "combination_tvd": "combination TVD",
    "survival_gap_1y": "Kaplan-Meier, 1 year",
    "survival_gap_5y": "Kaplan-Meier, 5 years",
    "cox_error": "Cox log hazard ratios",
    "mean_wait_gap": "wait, days (mean of sites)",
    "detection_events": "detection on events, AUC",
}
Rows = Sequence[dict[str, Any]]


def curves(rows: Rows, over: str, floor: Rows, label: str, out: Path) -> None:
    """rows: runs that differ in `over` and in their seeds; floor: runs on fresh samples of the same
    sizes.
    """
    ticks = sorted({row[over] for row in rows})
    figure = Figure(figsize=(13, 5.4), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(2, 4).flat, PANELS.items(), strict=True):
        _line(axes, rows, over, name, "Syndasera", "C0", "-")
        sizes = {row["patients"] for row in floor}
        if over == "patients":
            _line(axes, floor, over, name, "fresh sample (floor)", "0.4", "--")
        elif len(sizes) == 1:
            axes.axhline(
                float(np.mean([row[name] for row in floor])),
                linestyle="--",
                color="0.4",
                linewidth=1,
                label="fresh sample (floor)",
            )
        axes.set(
            xscale="log",
            title=title,
            ylim=(0.45, 1.0) if name.startswith("detection") else (0, None),
        )
        axes.set_xticks(
            ticks,
            [
                (
                    f"{tick:g}"
                    if tick < 1e3
                    else f"{tick / 1e3:,.0f}k"
                    if tick < 1e6
                    else f"{tick / 1e6:g}M"
                )
                for tick in ticks
            ],
        )
        axes.tick_params(axis="x", labelsize="small")
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    for axes in figure.axes[4:]:
        axes.set_xlabel(label)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    report.save(figure, out)


def _line(
    axes: Axes, rows: Rows, over: str, name: str, label: str, colour: str, style: str
) -> None:
    points = sorted({row[over] for row in rows if row.get(name) is not None})
    values = [
        [row[name] for row in rows if row[over] == point and row.get(name) is not None]
        for point in points
    ]
    spread = [np.std(runs, ddof=1) if len(runs) > 1 else 0.0 for runs in values]
    axes.errorbar(
        points,
        [np.mean(runs) for runs in values],
        yerr=spread,
        marker="o",
        markersize=4,
        capsize=2,
        label=label,
        color=colour,
        linestyle=style,
        linewidth=1.8,
    )
