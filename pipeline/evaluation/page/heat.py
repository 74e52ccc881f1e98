"""Heat maps: from event to event, and how far each pair of columns is off. Every cell of at least
half a percent bears its number, so that nothing rests on colour alone.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.evaluation import fidelity
from pipeline.evaluation.page import parts, svg
from pipeline.evaluation.page.content import ReportContent
from pipeline.evaluation.page.numbers import percent, points
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog
from pipeline.schema.words import column_title, event_title

MOST_COLUMNS = 40  # of the map of pairs
WORST_PAIRS = 12
MOST_TYPES = 14
CELL_WIDTH, CELL_HEIGHT, LABELS, SLANT = 26.0, 22.0, 134.0, 116.0
SHARE_STEPS = (0.05, 0.15, 0.3, 0.5)  # where the next darker shade begins
TVD_STEPS = (0.05, 0.1, 0.2, 0.3)
GAP_STEPS = (0.01, 0.03, 0.05, 0.1)
EMPTY_CELLS = "An empty cell is below half a percent."


def transitions(log: PatientLog, types: Sequence[str]) -> np.ndarray:
    """[from, to] shares of what comes next after each type; rows without any are NaN."""
    following = log.pathways.sort(ID, "seq").select(
        pl.col("type"), pl.col("type").shift(-1).over(ID).alias("next")
    )
    index = {name: i for i, name in enumerate(types)}
    counts = np.zeros((len(types), len(types)))
    for first, second, n in following.drop_nulls().group_by("type", "next").len().iter_rows():
        if first in index and second in index:
            counts[index[first], index[second]] = n
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.full_like(counts, math.nan), where=totals > 0)


def transition_section(content: ReportContent, events: EventLog) -> str:
    """Real, synthetic, and the second less the first."""
    types = list(events.types)[:MOST_TYPES]
    sources = [name for name in types if not events.types[name].terminal]
    rows = [types.index(name) for name in sources]
    real, synthetic = (transitions(log, types)[rows] for log in (content.real, content.synthetic))
    names = [event_title(events, name) for name in types]
    labels = [names[row] for row in rows]
    plots = [
        parts.figure(
            _map(f"What follows what, {name} patients", values, labels, names, SHARE_STEPS),
            f"{name[:1].upper()}{name[1:]}: percent of what comes next",
            css="wide",
        )
        for name, values in ((content.real_name, real), ("synthetic", synthetic))
    ]
    return (
        parts.paragraph(EMPTY_CELLS, "soft")
        + legend(SHARE_STEPS)
        + parts.grid(plots, "pairs")
        + legend(GAP_STEPS, unit=" points")
        + _gap_figure(synthetic - real, labels, names)
    )


def _gap_figure(gap: np.ndarray, labels: Sequence[str], names: Sequence[str]) -> str:
    note = ""
    if gap.size:
        i, j = divmod(int(np.argmax(np.nan_to_num(np.abs(gap)))), gap.shape[1])
        note = f"largest: {labels[i]} → {names[j]}, {points(float(gap[i, j]))}"
    picture = _map("Difference of what follows what", gap, labels, names, GAP_STEPS, signed=True)
    return parts.figure(picture, "Synthetic less real, in points", note, css="wide")


def _map(
    title: str,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    steps: Sequence[float],
    *,
    signed: bool = False,
) -> str:
    body = []
    for j, name in enumerate(columns):
        x = LABELS + CELL_WIDTH * (j + 0.5) + 4
        body.append(
            f'<g transform="translate({svg.place(x)} {svg.place(SLANT - 6)}) rotate(-60)">'
            f"{svg.label(0, 0, name, SLANT)}</g>"
        )
    for i, name in enumerate(rows):
        y = SLANT + CELL_HEIGHT * i
        body.append(svg.label(LABELS - 6, y + 15, name, LABELS - 8, anchor="end"))
        for j, other in enumerate(columns):
            words = f"{name} → {other}: {(points if signed else percent)(float(values[i, j]))}"
            cell = _cell(float(values[i, j]), LABELS + CELL_WIDTH * j, y, steps, words)
            body.append(cell)
    width = LABELS + CELL_WIDTH * len(columns) + 40  # the last slanted label needs room
    height = SLANT + CELL_HEIGHT * len(rows) + 4
    description = "Rows: an event; columns: what comes next. Each cell bears its percentage."
    return svg.picture(title, description, width, height, "".join(body))


def _cell(value: float, x: float, y: float, steps: Sequence[float], words: str) -> str:
    """A shade and the number in percent; negative gaps have a minus, and positive ones a plus."""
    if math.isnan(value):
        return svg.rect(x, y, CELL_WIDTH - 1, CELL_HEIGHT - 1, "heat none")
    shade = sum(abs(value) >= step for step in steps)
    sign = " below" if value < 0 else ""
    number = round(100 * value)
    text = f"{abs(number)}" if number >= 0 else f"\u2212{abs(number)}"
    middle = x + CELL_WIDTH / 2 - 0.5
    return svg.rect(x, y, CELL_WIDTH - 1, CELL_HEIGHT - 1, f"heat h{shade}{sign}", words) + (
        svg.text(middle, y + 15, text, anchor="middle", css=f"cell h{shade}") if number else ""
    )


def pairs(content: ReportContent) -> tuple[list[str], np.ndarray]:
    """Names of the columns, and the distance of each pair [i, j] for i < j; NaN elsewhere."""
    columns = {
        name: column
        for name, column in content.schema.patients.items()
        if (column.is_categorical or column.is_numeric)
        and name in content.real.patients.columns
        and name in content.synthetic.patients.columns
    }
    names = list(columns)
    values = np.full((len(names), len(names)), math.nan)
    if len(names) > 1 and len(content.real.patients) and len(content.synthetic.patients):
        both = fidelity.binned(content.real.patients, content.synthetic.patients, columns)
        values[np.triu_indices(len(names), 1)] = fidelity.two_way(*both)
    return names, values


def pair_section(content: ReportContent) -> str:
    """The map of the worst columns, and the worst pairs by name."""
    names, values = pairs(content)
    if not np.isfinite(values).any():
        return parts.paragraph("There are no two columns to compare.")
    titles = [column_title(content.schema.patients[name]) for name in names]
    keep = np.sort(_farthest(values)[:MOST_COLUMNS])
    square = values[np.ix_(keep, keep)]
    subset = [titles[i] for i in keep]
    note = "" if len(subset) == len(names) else f"the {len(subset)} columns that are furthest off"
    plot = parts.figure(
        _triangle(square, subset), "Distance of each pair, in percent", note, css="wide"
    )
    order = np.argsort(-np.nan_to_num(values, nan=-1.0), axis=None, kind="stable")[:WORST_PAIRS]
    places = [divmod(int(one), len(names)) for one in order]
    rows = [
        (f"{titles[i]} × {titles[j]}", parts.figure_cell(percent(float(values[i, j]))))
        for i, j in places
        if math.isfinite(values[i, j])
    ]
    explained = (
        "The distance of a pair is the share of patients that would have to change for the joint"
        f" shares of both columns to be equal (total variation distance). {EMPTY_CELLS}"
    )
    return (
        parts.paragraph(explained, "soft")
        + legend(TVD_STEPS)
        + plot
        + parts.table(("pair", "distance"), rows, "The pairs that are furthest off")
    )


def _farthest(values: np.ndarray) -> np.ndarray:
    both = np.nan_to_num(values)
    return np.argsort(-(both + both.T).sum(axis=0), kind="stable")


def _triangle(values: np.ndarray, names: Sequence[str]) -> str:
    """Below the diagonal; each column's name stands where it begins."""
    left, body = 190.0, []
    for i, name in enumerate(names):
        y = 4 + CELL_HEIGHT * i
        body.append(svg.label(left - 6, y + 15, name, left - 8, anchor="end"))
        for j in range(i):
            words = f"{names[j]} × {name}: {percent(float(values[j, i]))}"
            body.append(_cell(float(values[j, i]), left + CELL_WIDTH * j, y, TVD_STEPS, words))
        x = left + CELL_WIDTH * i + 4
        if i < len(names) - 1:
            body.append(f'<g class="soft-text">{svg.text(x, y + 15, name)}</g>')
    width = left + CELL_WIDTH * max(1, len(names) - 1) + 140
    worst = html.escape(percent(float(np.nanmax(values))))
    return svg.picture(
        "Distances of pairs of columns",
        f"Total variation distance of the joint shares of two columns; the largest is {worst}.",
        width,
        8 + CELL_HEIGHT * len(names),
        "".join(body),
    )


def legend(steps: Sequence[float], *, unit: str = "%") -> str:
    """What the shades mean; of differences, below and above zero."""
    bounds = [0.0, *steps]
    names = [
        f"{100 * low:.0f} to {100 * high:.0f}{unit}"
        for low, high in zip(bounds, steps, strict=False)
    ]
    names.append(f"{100 * steps[-1]:.0f}{unit} or more")
    is_signed = unit != "%"
    marks = [
        (
            svg.rect(0, 0, 26, 14, f"heat h{shade}")
            + (svg.rect(0, 0, 13, 14, f"heat h{shade} below") if is_signed and shade else ""),
            name,
        )
        for shade, name in enumerate(names)
    ]
    note = "orange with a minus: fewer among the synthetic; blue: more" if is_signed else ""
    return parts.legend(marks) + (parts.paragraph(note, "soft") if note else "")
