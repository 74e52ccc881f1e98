"""Plots of the report as inline SVG: no script, no font, no file beside it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

REAL, SYNTHETIC = "#4c5b6b", "#d9822b"
STRATA = ("#1b6ca8", "#2e8b57", "#c98b1d", "#b23a48", "#6b4c9a", "#5f6b73", "#8c564b", "#17838f")
MAX_BARS = 20


def svg(figure: Figure) -> str:
    """The figure as an <svg> element, the same bytes for the same figure."""
    with matplotlib.rc_context({"svg.hashsalt": "syndasera", "svg.fonttype": "path"}):
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None}
        )
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _axes(width: float = 6.0, height: float = 3.2) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def bars(
    title: str, names: Sequence[str], real: Sequence[float], synthetic: Sequence[float]
) -> str:
    """Shares of the most frequent values, real beside synthetic."""
    order = np.argsort(real)[::-1][:MAX_BARS]
    figure, axes = _axes(height=0.9 + 0.24 * len(order))
    at = np.arange(len(order))
    axes.barh(at - 0.2, np.asarray(real)[order], 0.4, color=REAL, label="real (holdout)")
    axes.barh(at + 0.2, np.asarray(synthetic)[order], 0.4, color=SYNTHETIC, label="synthetic")
    axes.set_yticks(at, [names[i] for i in order])
    axes.invert_yaxis()
    axes.set_xlabel("share")
    axes.set_title(title, loc="left")
    axes.legend(frameon=False)
    return svg(figure)


def _bin_edges(real: np.ndarray, integer: bool) -> np.ndarray:
    """About 40 bins from the 1st to the 99th percentile; whole numbers get bins of whole width, or
    the plot would show a comb.
    """
    low, high = np.quantile(real, [0.01, 0.99])
    if not integer:
        return np.linspace(low, high if high > low else low + 1, 41)
    width = max(1.0, np.ceil((high - low + 1) / 40))
    return np.arange(np.floor(low), high + width + 1, width) - 0.5


def histogram(
    title: str, unit: str, real: np.ndarray, synthetic: np.ndarray, *, integer: bool = False
) -> str:
    """Densities of a number over common bins."""
    figure, axes = _axes()
    if len(real) and len(synthetic):
        edges = _bin_edges(real, integer)
        axes.hist(real, list(edges), density=True, color=REAL, alpha=0.55, label="real (holdout)")
        axes.hist(
            synthetic,
            list(edges),
            density=True,
            color=SYNTHETIC,
            histtype="step",
            linewidth=1.8,
            label="synthetic",
        )
        axes.legend(frameon=False)
    axes.set_xlabel(unit)
    axes.set_ylabel("density")
    axes.set_title(title, loc="left")
    return svg(figure)


def survival(
    title: str,
    years: np.ndarray,
    real: Mapping[str, np.ndarray],
    synthetic: Mapping[str, np.ndarray],
) -> str:
    """Kaplan-Meier curves by stratum: solid real, dashed synthetic."""
    figure, axes = _axes(height=4.0)
    for index, name in enumerate(sorted(set(real) & set(synthetic))):
        colour = "black" if name == "all" else STRATA[index % len(STRATA)]
        axes.plot(years, real[name], color=colour, label=name)
        axes.plot(years, synthetic[name], color=colour, linestyle="--")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("years since day 0 (solid: real holdout, dashed: synthetic)")
    axes.set_ylabel("surviving")
    axes.set_title(title, loc="left")
    axes.legend(frameon=False, ncols=3, fontsize="small")
    return svg(figure)
