"""The balance over time: one panel per population, a step per charge."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.evaluation.plots import STRATA
from pipeline.ledger import Standing

COLUMNS = 2
SMALLEST_MARGIN_DAYS = 1 / 1440
SPENT, LIMIT, LOW = STRATA[0], "#8a1f2b", "#c98b1d"


def balances(standings: Sequence[Standing], until: datetime, warn_below_share: float) -> Figure:
    """Share of the budget in force that was spent, from each population's opening to `until`."""
    columns = min(COLUMNS, len(standings))
    lines = -(-len(standings) // columns)
    figure = Figure(figsize=(5.6 * columns, 0.7 + 3.0 * lines), layout="constrained")
    every = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, standing in zip(every, standings, strict=False):
        _panel(axes, standing, until, warn_below_share)
    for axes in every[len(standings) :]:
        axes.set_visible(False)
    figure.legend(
        *every[0].get_legend_handles_labels(),
        loc="outside upper left",
        ncols=4,
        frameon=False,
        fontsize="small",
    )
    return figure


def _panel(axes: Axes, standing: Standing, until: datetime, warn_below_share: float) -> None:
    times = [_day(point.at) for point in standing.points]
    shares = [point.share_spent for point in standing.points]
    end = max(_day(until), times[-1])
    axes.step(
        [*times, end],
        [*shares, shares[-1]],
        where="post",
        color=SPENT,
        linewidth=1.8,
        label="share spent",
    )
    charged = [(_day(charge.after.at), charge.after.share_spent) for charge in standing.charges]
    axes.plot(
        [at for at, _ in charged],
        [share for _, share in charged],
        "o",
        markersize=3.5,
        color=SPENT,
        label="a charge",
    )
    axes.axhline(1.0, color=LIMIT, linewidth=1.3, label="the budget")
    axes.axhline(
        1 - warn_below_share, color=LOW, linewidth=1.3, linestyle="--", label="warning above"
    )
    _mark_raises(axes, standing)
    margin = max((end - times[0]) * 0.03, SMALLEST_MARGIN_DAYS)
    axes.set_xlim(times[0] - margin, end + margin)
    axes.set_ylim(0, 1.08)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(
        f"{standing.population.name}: {shares[-1]:.1%} of epsilon"
        f" {standing.balance.epsilon_total:g} by {standing.balance.n_releases}"
        f" release{'' if standing.balance.n_releases == 1 else 's'}",
        loc="left",
        fontsize="medium",
    )


def _mark_raises(axes: Axes, standing: Standing) -> None:
    """A line where the budget was raised, with what it was raised to."""
    for point in standing.points:
        if point.kind == "raised":
            axes.axvline(_day(point.at), color="0.5", linewidth=1, linestyle=":")
            axes.annotate(
                f"raised to {point.epsilon_total:g}",
                (_day(point.at), 0.96),
                xytext=(3, 0),
                textcoords="offset points",
                rotation=90,
                va="top",
                fontsize="small",
                color="0.35",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )


def _day(at: datetime) -> float:
    """Days, as matplotlib counts them."""
    return float(date2num(at))


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
