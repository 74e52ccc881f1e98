"""Dots with intervals, two a row: hazard ratios, attacks, waiting times, models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.evaluation.findings import Estimate
from pipeline.evaluation.page import svg
from pipeline.evaluation.page.numbers import number

DOTS, NUMBERS = 290.0, 190.0  # widths of the two parts of a row, whose label stands above both
WIDTH = DOTS + NUMBERS
ROW, TOP, BOTTOM = 56.0, 4.0, 36.0


@dataclass(frozen=True)
class Row:
    """Two estimates of one thing; None where there is none."""

    label: str
    first: Estimate | None
    second: Estimate | None


def plot(
    title: str,
    description: str,
    rows: Sequence[Row],
    words: Callable[[Estimate], str],
    *,
    unit: str = "",
    is_log: bool = False,
    reference: float | None = None,
    tick: Callable[[float], str] = number,
) -> str:
    """`words`: how an estimate is written beside its dot. `reference`: where a line stands, such as
    1 for ratios. `tick`: how a value is written at the axis.
    """
    scale = _scale(rows, is_log, reference)
    height = TOP + ROW * len(rows) + BOTTOM
    floor = TOP + ROW * len(rows)
    body = [svg.axis(scale, floor, TOP, unit, words=tick)]
    if reference is not None:
        body.append(svg.line(scale.at(reference), TOP, scale.at(reference), floor, "reference"))
    for index, row in enumerate(rows):
        top = TOP + ROW * index
        body.append(svg.line(0, top, WIDTH, top, "grid"))
        body.append(svg.label(0, top + 15, row.label, WIDTH, css="halo"))
        for one, at, css in ((row.first, top + 29, "real"), (row.second, top + 45, "synthetic")):
            if one is not None and math.isfinite(one.value):
                body.append(_dot(one, at, css, scale))
                body.append(svg.text(DOTS + 14, at + 4, words(one), css="tick"))
    return svg.picture(title, description, WIDTH, height, "".join(body))


def _dot(one: Estimate, y: float, css: str, scale: svg.Scale) -> str:
    x = scale.at(one.value)
    is_known = math.isfinite(one.low) and math.isfinite(one.high)
    bar = svg.line(scale.at(one.low), y, scale.at(one.high), y, f"{css}-line") if is_known else ""
    return bar + (svg.circle if css == "real" else svg.diamond)(x, y, css)


def _scale(rows: Sequence[Row], is_log: bool, reference: float | None) -> svg.Scale:
    """Over all values, and over bounds that are not far beyond them."""
    estimates = [one for row in rows for one in (row.first, row.second) if one is not None]
    values = [one.value for one in estimates if math.isfinite(one.value)]
    values += [reference] if reference is not None else []
    values = [value for value in values if value > 0 or not is_log]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    bounds = [
        bound
        for one in estimates
        for bound in (one.low, one.high)
        if math.isfinite(bound) and (bound > 0 or not is_log)
    ]
    if is_log:
        low = min([low / 1.2, *(bound for bound in bounds if bound >= low / 4)])
        high = max([high * 1.2, *(bound for bound in bounds if bound <= high * 4)])
    else:
        reach = (high - low) or abs(high) or 1.0
        low = min([low, *(bound for bound in bounds if bound >= low - 2 * reach)])
        high = max([high, *(bound for bound in bounds if bound <= high + 2 * reach)])
        margin = (high - low or 1.0) / 25
        low, high = low - margin, high + margin
    return svg.Scale(low, high, 8.0, DOTS, is_log)
