"""The sections that are tables: fidelity between its bounds, models, waiting times, independent
pairs, missing values.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline.evaluation import pathways
from pipeline.evaluation.findings import Estimate
from pipeline.evaluation.page import heat, intervals, marks, parts, svg
from pipeline.evaluation.page.content import FidelityFigure, ReportContent
from pipeline.evaluation.page.estimate_words import estimate
from pipeline.evaluation.page.numbers import number, percent, plural, points
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.words import column_title, event_title

MOST_PAIRS = 15  # that are shown without a click
BAR = 130.0  # width of the small bar between worst and best


def fidelity(content: ReportContent) -> str:
    if not content.fidelity:
        return parts.paragraph("No figure of fidelity was computed.")
    rows = [
        (
            one.name,
            parts.figure_cell(number(one.synthetic)),
            parts.figure_cell(number(one.worst)),
            parts.Markup(_position_bar(one)),
            parts.figure_cell(number(one.best)),
            one.note,
        )
        for one in content.fidelity
    ]
    explained = (
        "Best: other real patients in the place of the synthetic ones; closer is not possible."
        " Worst: every column drawn by itself. The diamond shows where the synthetic patients lie"
        " between both."
    )
    header = ("figure", "synthetic", "worst", "from worst to best", "best", "note")
    return parts.paragraph(explained, "soft") + parts.table(header, rows)


def position(one: FidelityFigure) -> float:
    """0 at the worst, 1 at the best; NaN where they are no two bounds."""
    reach = one.best - one.worst
    if not math.isfinite(reach) or reach == 0 or (reach > 0) != one.is_higher_better:
        return math.nan
    return (one.synthetic - one.worst) / reach


def _position_bar(one: FidelityFigure) -> str:
    share = position(one)
    if math.isnan(share):
        return parts.text("bounds say nothing")
    x = svg.Scale(0, 1, 8, BAR - 8).at(share)
    words = percent(max(0.0, min(1.0, share))) if 0 <= share <= 1 else _outside(share)
    body = (
        svg.line(8, 9, BAR - 8, 9, "axis")
        + svg.line(8, 4, 8, 14, "axis")
        + svg.line(BAR - 8, 4, BAR - 8, 14, "axis")
        + svg.rect(8, 6, x - 8, 6, "synthetic-band")
        + svg.diamond(x, 9, "synthetic")
    )
    return (
        f'<span class="bar">{svg.picture(f"{one.name}: {words}", "", BAR, 18, body)} {words}</span>'
    )


def _outside(share: float) -> str:
    return "past the best" if share > 1 else "past the worst"


def utility(content: ReportContent) -> str:
    if not content.utilities:
        return parts.paragraph("No model was learned on both.")
    names = [f"{_title(content, one.target)}, {one.model}" for one in content.utilities]
    rows = [
        intervals.Row(name, one.on_real, one.on_synthetic)
        for name, one in zip(names, content.utilities, strict=True)
    ]
    lines = [
        (
            name,
            parts.figure_cell(estimate(one.on_real)),
            parts.figure_cell(estimate(one.on_synthetic)),
            parts.figure_cell(number(one.on_synthetic.value - one.on_real.value)),
        )
        for name, one in zip(names, content.utilities, strict=True)
    ]
    picture = intervals.plot(
        "Scores of models", "Each model's score on real patients.", rows, estimate, unit="score"
    )
    return (
        parts.paragraph(
            "Each model predicts the same real patients, whatever it learned from.", "soft"
        )
        + marks.intervals("learned on real patients", "learned on synthetic patients")
        + parts.figure(picture, "Score of each model on real patients", css="dots")
        + parts.table(("target and model", "learned on real", "on synthetic", "difference"), lines)
    )


def _title(content: ReportContent, name: str) -> str:
    column = content.schema.patients.get(name)
    return column_title(column) if column is not None else name


def waiting(content: ReportContent) -> str:
    """Days from day 0 to the first event of each type."""
    events = content.schema.events
    assert events is not None
    every = [
        intervals.Row(
            event_title(events, kind),
            *(_quartiles(log, kind, content) for log in (content.real, content.synthetic)),
        )
        for kind in events.types
        if kind != events.anchor and not events.types[kind].terminal
    ]
    rows = [row for row in every if row.first is not None or row.second is not None]
    if not rows:
        return parts.paragraph("No event is dated.")
    picture = intervals.plot(
        "Days to the first event",
        "Median and quartiles of the days from day 0 to the first event of each type.",
        rows,
        estimate,
        unit="days since day 0",
        reference=0.0,
    )
    return marks.intervals(content.real_name, marks.SYNTHETIC_NAME) + parts.figure(
        picture, "Days to the first event of each type", "median and quartiles", "dots"
    )


def _quartiles(log: PatientLog, kind: str, content: ReportContent) -> Estimate | None:
    assert content.schema.events is not None
    days = pathways.waiting_days(log.pathways, content.schema.events, kind)
    if not len(days):
        return None
    low, middle, high = (float(one) for one in np.quantile(days, [0.25, 0.5, 0.75]))
    return Estimate(value=middle, low=low, high=high, n=len(days))


def independent(content: ReportContent) -> str:
    if not content.independent_pairs:
        return parts.paragraph("The model drew no pair of columns independently of each other.")
    names, values = heat.pairs(content)
    rows = []
    for first, second in content.independent_pairs:
        places = sorted(names.index(one) for one in (first, second) if one in names)
        distance = float(values[places[0], places[1]]) if len(places) == 2 else math.nan
        pair = f"{_title(content, first)} × {_title(content, second)}"
        rows.append((distance, pair))
    rows.sort(key=lambda row: (-row[0] if row[0] == row[0] else 1.0, row[1]))
    explained = (
        "The model drew these pairs without regard to one another, given the columns that both"
        " hang on. Whatever links the two in real life may be lacking; the distance says how far"
        " their joint shares are off."
    )
    lines = [(pair, parts.figure_cell(percent(value))) for value, pair in rows]
    further = lines[MOST_PAIRS:]
    others = (
        parts.details(
            f"{plural(len(further), 'pair')} more", parts.table(("pair", "distance"), further)
        )
        if further
        else ""
    )
    table = parts.table(("pair", "distance"), lines[:MOST_PAIRS])
    return parts.paragraph(explained, "soft") + table + others


def missing(content: ReportContent) -> str:
    """Static columns that have missing values in either table."""
    rows = []
    for name, column in content.schema.patients.items():
        real, synthetic = (_missing_share(log, name) for log in (content.real, content.synthetic))
        if real > 0 or synthetic > 0:
            rows.append((column_title(column), real, synthetic))
    if not rows:
        return parts.paragraph("No value of a static column is missing in either.")
    rows.sort(key=lambda row: (-abs(row[2] - row[1]), row[0]))
    return parts.table(
        ("column", content.real_name, "synthetic", "difference"),
        [
            (
                name,
                parts.figure_cell(percent(real)),
                parts.figure_cell(percent(synthetic)),
                parts.figure_cell(points(synthetic - real)),
            )
            for name, real, synthetic in rows
        ],
    )


def _missing_share(log: PatientLog, name: str) -> float:
    if name not in log.patients.columns or log.patients.is_empty():
        return math.nan
    return log.patients[name].null_count() / len(log.patients)
