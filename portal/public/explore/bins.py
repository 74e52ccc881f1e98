"""Where the bars of a histogram begin: at whole numbers, fives, tens, years."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import numpy as np

from pipeline.schema.values import Column

MOST_BINS = 26
EPOCH = date(1970, 1, 1).toordinal()
MONTHS = (1, 3, 6, 12, 24, 60, 120)  # of a bar of dates


def edges_of(column: Column, values: np.ndarray) -> tuple[float, ...]:
    """Ascending, at least two; bar i holds [edges[i], edges[i + 1]). values: those that are there,
    dates as days since 1970-01-01.
    """
    if not len(values):
        return (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if column.kind == "date":
        return _dates(low, high)
    smallest = 10.0**-column.decimals
    if column.transform == "asinh" and high - low > 50 * max(column.scale, smallest):
        return _series(low, high, smallest)
    return _even(low, high, smallest)


def cells_of(edges: Sequence[float], values: np.ndarray) -> np.ndarray:
    """The bar of each value, from 1; 0 of what is missing (NaN). What lies beyond the edges is in
    the first or the last bar.
    """
    cells = np.searchsorted(np.asarray(edges), values, side="right").clip(1, len(edges) - 1)
    return np.where(np.isnan(values), 0, cells)


def bar_labels(column: Column, edges: Sequence[float]) -> tuple[str, ...]:
    """What a bar is called: 40-44, 2016, 36.5-37."""
    pairs = pairwise(edges)
    if column.kind == "date":
        return tuple(_date_label(low, high) for low, high in pairs)
    return tuple(_number_label(low, high, column.decimals) for low, high in pairs)


def _even(low: float, high: float, smallest: float) -> tuple[float, ...]:
    step = smallest
    while (high - low) / step >= MOST_BINS:
        step = _next(step)
    first = math.floor(low / step + 1e-9)
    last = math.floor(high / step + 1e-9) + 1
    return tuple(round(place * step, 12) for place in range(first, last + 1))


def _next(step: float) -> float:
    """1, 2, 5, 10, 20, ..."""
    size = 10.0 ** math.floor(math.log10(step) + 1e-9)
    lead = round(step / size)
    return size * {1: 2, 2: 5, 5: 10}[lead]


def _series(low: float, high: float, smallest: float) -> tuple[float, ...]:
    """0 and powers of ten between 1, 2 and 5 of them: for numbers over many sizes."""
    largest = max(abs(low), abs(high))
    steps, step = [], smallest
    while step <= largest:
        steps.append(step)
        step = _next(step)
    steps.append(step)
    start = max(len(steps) - MOST_BINS + 2, 0) if low >= 0 else 0
    positive = [value for value in steps[start:] if value > low]
    below = [value for value in steps[start:] if value <= low][-1:] if low > 0 else [0.0]
    negative = [-value for value in reversed(steps) if low < 0 and value < 2 * abs(low)]
    return (*negative, *below, *positive)


def _dates(low: float, high: float) -> tuple[float, ...]:
    first = date.fromordinal(int(low) + EPOCH)
    last = date.fromordinal(int(high) + EPOCH)
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    width = next((width for width in MONTHS if months / width < MOST_BINS), MONTHS[-1])
    start = (first.year * 12 + first.month - 1) // width * width
    end = last.year * 12 + last.month - 1
    places = range(start, end + width + 1, width)
    return tuple(float(date(p // 12, p % 12 + 1, 1).toordinal() - EPOCH) for p in places)


def _date_label(low: float, high: float) -> str:
    first, after = (date.fromordinal(int(day) + EPOCH) for day in (low, high))
    months = (after.year - first.year) * 12 + after.month - first.month
    if months == 12:
        return str(first.year)
    if months > 12:
        return f"{first.year}–{after.year - 1}"
    if months == 3:
        return f"{first.year} Q{first.month // 3 + 1}"
    return f"{first.year}-{first.month:02d}" + ("" if months == 1 else " +")


def _number_label(low: float, high: float, decimals: int) -> str:
    if decimals == 0:
        last = high - 1
        return f"{low:,.0f}" if last <= low else f"{low:,.0f}–{last:,.0f}"
    return f"{low:,g}–{high:,g}"
