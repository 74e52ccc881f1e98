"""Each static column, real and synthetic: shares of categories, histograms of numbers and dates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import polars as pl

from pipeline.evaluation.page import parts, svg
from pipeline.evaluation.page.content import ReportContent
from pipeline.evaluation.page.numbers import brief, number, percent
from pipeline.schema.values import Column
from pipeline.schema.words import MISSING, column_title, labels

MOST_COLUMNS = 60
MOST_BARS = 14
MOST_IN_ORDER = 8  # categories that keep the declared order; of more the frequent ones come first
N_BINS = 32
WIDTH, ROW = 380.0, 19.0
LABELS, BARS = 150.0, 150.0
PLOT_HEIGHT = 130.0
YEAR = 365.25


def figures(content: ReportContent, *, numeric: bool) -> list[str]:
    """A plot for each column of one kind."""
    columns = [
        column
        for name, column in content.schema.patients.items()
        if name in content.real.patients.columns and name in content.synthetic.patients.columns
    ][:MOST_COLUMNS]
    plots = []
    for column in columns:
        real, synthetic = (log.patients[column.name] for log in (content.real, content.synthetic))
        if column.is_categorical and not numeric:
            plots.append(categories(column, real, synthetic))
        elif column.is_numeric and numeric:
            plots.append(histogram(column, real, synthetic))
    return plots


def categories(column: Column, real: pl.Series, synthetic: pl.Series) -> str:
    """The most frequent categories, the others together; a few keep their declared order."""
    rows = list(_shares(column, real, synthetic))
    highest = max([share for _, *pair in rows for share in pair], default=0.0) or 1.0
    scale = svg.Scale(0, highest, LABELS, LABELS + BARS)
    body = []
    for index, (name, first, second) in enumerate(rows):
        y = 4 + ROW * index
        body += [
            svg.label(LABELS - 9, y + 13, name, LABELS - 9, anchor="end"),
            svg.rect(LABELS, y + 4, scale.at(first) - LABELS, 11, "real"),
            svg.diamond(scale.at(second), y + 9.5, "synthetic"),
            svg.text(WIDTH, y + 13, f"{brief(first)} | {brief(second)}", anchor="end", css="tick"),
        ]
    title = column_title(column)
    described = "; ".join(f"{name}: {percent(a)}, {percent(b)}" for name, a, b in rows[:5])
    return parts.figure(
        svg.picture(
            f"Shares of {title}",
            f"Real, synthetic. {described}.",
            WIDTH,
            8 + ROW * len(rows),
            "".join(body),
        ),
        title,
    )


def _shares(
    column: Column, real: pl.Series, synthetic: pl.Series
) -> Iterator[tuple[str, float, float]]:
    """(label, share of the real, share of the synthetic)."""
    first, second = (_counts(values) for values in (real, synthetic))
    names = labels(column)
    codes = [code for code in names if first.get(code) or second.get(code)]
    most = MOST_BARS if column.kind == "ordinal" else MOST_IN_ORDER
    if len(codes) > most:
        codes.sort(key=lambda code: -first.get(code, 0.0))  # stable: ties keep declared order
    frequent, others = codes[:MOST_BARS], codes[MOST_BARS:]
    for code in frequent:
        yield names[code], first.get(code, 0.0), second.get(code, 0.0)
    if others:
        both = [sum(counts.get(code, 0.0) for code in others) for counts in (first, second)]
        yield f"{len(others)} others", both[0], both[1]
    if first.get(None) or second.get(None):
        yield MISSING, first.get(None, 0.0), second.get(None, 0.0)


def _counts(values: pl.Series) -> dict[str | None, float]:
    counts = values.cast(pl.String).value_counts()
    return {code: n / len(values) for code, n in counts.iter_rows()}


def histogram(column: Column, real: pl.Series, synthetic: pl.Series) -> str:
    """Shares of rows by bins of equal width on the column's own grid; declared values with mass of
    their own, such as 0, are told in words and left out.
    """
    title = column_title(column)
    first, second = (_numbers(values) for values in (real, synthetic))
    notes = _notes(column, (real, synthetic), (first, second))
    first, second = (values[~np.isin(values, column.atoms)] for values in (first, second))
    if not len(first) and not len(second):
        return parts.figure("", title, "no values to show" + (f"; {notes}" if notes else ""))
    edges = _edges(column, first if len(first) else second)
    heights = [_heights(column, values, edges) for values in (first, second)]
    scale = svg.Scale(float(edges[0]), float(edges[-1]), 40, WIDTH - 8)
    tops = svg.Scale(0, max(float(np.max(h)) for h in heights) or 1.0, PLOT_HEIGHT, 8)
    body = [
        _axis(column, scale),
        _levels(tops),
        svg.path(_steps(edges, heights[0], scale, tops), "real-area", closed=True),
        svg.path(_steps(edges, heights[1], scale, tops), "synthetic-line"),
    ]
    unit = f", in {column.unit}" if column.unit else ""
    return parts.figure(
        svg.picture(
            f"Distribution of {title}",
            f"Shares of rows by value{unit}. {notes}".strip(),
            WIDTH,
            PLOT_HEIGHT + 24,
            "".join(body),
        ),
        f"{title}{unit}",
        notes,
    )


def _numbers(values: pl.Series) -> np.ndarray:
    present = values.drop_nulls()
    if present.dtype == pl.Date:
        present = present.cast(pl.Int32)
    return present.cast(pl.Float64).drop_nans().to_numpy()


def _notes(column: Column, both: Sequence[pl.Series], present: Sequence[np.ndarray]) -> str:
    """Missing values and atoms in words."""
    notes = []
    missing = [v.null_count() / len(v) if len(v) else math.nan for v in both]
    if any(share > 0 for share in missing):
        notes.append(f"missing: {percent(missing[0])} | {percent(missing[1])}")
    for atom in column.atoms:
        shares = [float(np.mean(v == atom)) if len(v) else math.nan for v in present]
        notes.append(f"exactly {number(atom)}: {percent(shares[0])} | {percent(shares[1])}")
    return "; ".join(notes)


def _grid(column: Column, values: np.ndarray) -> np.ndarray:
    return np.arcsinh(values / column.scale) if column.transform == "asinh" else values


def _edges(column: Column, values: np.ndarray) -> np.ndarray:
    """On the column's grid, over all but the outermost half percent at each side."""
    low, high = (float(one) for one in np.quantile(_grid(column, values), [0.005, 0.995]))
    if column.kind == "date":
        return np.linspace(low - 0.5, max(high, low) + 0.5, N_BINS + 1)
    if column.decimals == 0 and column.transform == "linear":
        width = max(1.0, math.ceil((high - low + 1) / N_BINS))
        return np.arange(math.floor(low), high + width + 1, width) - 0.5
    return np.linspace(low, high if high > low else low + 1, N_BINS + 1)


def _heights(column: Column, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    if not len(values):
        return np.zeros(len(edges) - 1)
    return np.histogram(_grid(column, values), edges)[0] / len(values)


def _steps(
    edges: np.ndarray, heights: np.ndarray, scale: svg.Scale, tops: svg.Scale
) -> list[tuple[float, float]]:
    points = [(scale.at(edges[0]), tops.at(0))]
    for left, right, height in zip(edges, edges[1:], heights, strict=False):
        points += [(scale.at(left), tops.at(height)), (scale.at(right), tops.at(height))]
    return [*points, (scale.at(edges[-1]), tops.at(0))]


def _levels(tops: svg.Scale) -> str:
    """Lines at round shares, the height of the bins."""
    return "".join(
        svg.line(40, tops.at(level), WIDTH - 8, tops.at(level), "grid")
        + svg.text(36, tops.at(level) + 4, percent(level), anchor="end", css="tick")
        for level in svg.ticks(0, tops.high, 3)[1:]
    )


def _axis(column: Column, scale: svg.Scale) -> str:
    """Round values of the column below the plot, so far from each other that they can be read."""
    parts_of_axis = [svg.line(scale.start, PLOT_HEIGHT, scale.end, PLOT_HEIGHT, "axis")]
    last = -math.inf
    for value, words in _ticks(column, scale):
        x = scale.at(value)
        half = len(words) * svg.CHARACTER / 2
        slack = (scale.high - scale.low) / 50
        if scale.low - slack <= value <= scale.high + slack and x - half > last + 8:
            parts_of_axis.append(svg.line(x, PLOT_HEIGHT, x, PLOT_HEIGHT + 4, "axis"))
            parts_of_axis.append(svg.text(x, PLOT_HEIGHT + 17, words, anchor="middle", css="tick"))
            last = x + half
    return "".join(parts_of_axis)


def _ticks(column: Column, scale: svg.Scale) -> list[tuple[float, str]]:
    if column.kind == "date":
        years = range(1970 + int(scale.low / YEAR), 1972 + int(scale.high / YEAR))
        return [(float((date(year, 1, 1) - date(1970, 1, 1)).days), str(year)) for year in years]
    if column.transform == "asinh":
        sizes = [one * 10.0**k for k in range(-3, 12) for one in (1, 2, 5)]
        sizes = [size for size in sizes if size >= column.scale / 10]  # closer ones lie together
        values = [*(-size for size in reversed(sizes)), 0.0, *sizes]
        return [(math.asinh(value / column.scale), number(value)) for value in values]
    return [(value, number(value)) for value in svg.ticks(scale.low, scale.high, 6)]
