"""Kaplan-Meier curves of real and synthetic patients, a panel for each group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from lifelines import KaplanMeierFitter

from pipeline.evaluation import pathways
from pipeline.evaluation.page import parts, svg
from pipeline.evaluation.page.content import ReportContent
from pipeline.evaluation.page.numbers import count, percent
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import EventLog
from pipeline.schema.words import column_title, label

YEARS = np.linspace(0, 6, 73)
MOST_PANELS = 12
EVERYBODY = "Everybody"
LEFT, RIGHT, TOP, FLOOR, WIDTH = 40.0, 350.0, 8.0, 180.0, 360.0


@dataclass(frozen=True)
class Curve:
    """Survival at YEARS with its 95% interval, and of how many patients."""

    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int

    def after(self, years: float) -> float:
        return float(self.survival[int(np.searchsorted(YEARS, years))])


def stratum(content: ReportContent) -> str | None:
    """The static column by which survival is shown: the last declared stratum."""
    strata = content.schema.strata
    return strata[-1] if strata else None


def curves(log: PatientLog, events: EventLog, by: str | None) -> dict[str, Curve]:
    """By value of the column; of all under "". Small groups are left out."""
    outcomes = pathways.survival(log, events, by)
    if outcomes.is_empty():
        return {}
    every: dict[str, Curve] = {"": curve(outcomes)}
    if by is None:
        return every
    for (name,), part in outcomes.group_by("stratum", maintain_order=True):
        if len(part) >= pathways.MIN_STRATUM:
            every[str(name)] = curve(part)
    return every


def curve(outcomes: pl.DataFrame) -> Curve:
    fitter = KaplanMeierFitter().fit(outcomes["days"].to_numpy(), outcomes["died"].to_numpy())
    days = YEARS * pathways.DAYS_PER_YEAR
    bounds = fitter.confidence_interval_survival_function_
    at = np.searchsorted(bounds.index.to_numpy(), days, side="right") - 1
    low, high = (np.nan_to_num(bounds.to_numpy()[at, side], nan=1.0) for side in (0, 1))
    survival = np.asarray(fitter.survival_function_at_times(days), dtype=float)
    return Curve(survival, low, high, len(outcomes))


def explanation(content: ReportContent) -> str:
    """What the curves count."""
    events = content.schema.events
    assert events is not None
    by = stratum(content)
    groups = f", by {column_title(content.schema.patients[by]).lower()}" if by else ""
    return (
        f"Share of patients who are still free of {pathways.event_name(events)}{groups}"
        f" (Kaplan-Meier). Groups below {pathways.MIN_STRATUM} patients are left out."
    )


def figures(content: ReportContent) -> list[str]:
    """A panel for everybody and for each group that is large enough in both."""
    events = content.schema.events
    assert events is not None
    by = stratum(content)
    real, synthetic = (curves(log, events, by) for log in (content.real, content.synthetic))
    order = [name for name in _groups(content, by, real) if name in synthetic]
    ending = pathways.event_name(events)
    return [
        _panel(_group_name(content, by, name), ending, real[name], synthetic[name])
        for name in order[:MOST_PANELS]
    ]


def _groups(content: ReportContent, by: str | None, real: Mapping[str, Curve]) -> list[str]:
    """In the order of the declaration, everybody first."""
    codes = content.schema.patients[by].categories if by is not None else ()
    return [name for name in ("", *codes, "missing") if name in real]


def _group_name(content: ReportContent, by: str | None, name: str) -> str:
    if not name or by is None:
        return EVERYBODY
    column = content.schema.patients[by]
    if name == "missing" and name not in column.categories:
        return f"{column_title(column)} missing"
    return label(column, name)


def _panel(name: str, ending: str, real: Curve, synthetic: Curve) -> str:
    years = svg.Scale(0, float(YEARS[-1]), LEFT, RIGHT)
    shares = svg.Scale(0, 1, FLOOR, TOP)
    body = [svg.axis(years, FLOOR, TOP, "years since day 0", 6)]
    for level in (0.25, 0.5, 0.75, 1.0):
        y = shares.at(level)
        body.append(svg.line(LEFT, y, RIGHT, y, "grid"))
        body.append(svg.text(LEFT - 5, y + 4, percent(level), anchor="end", css="tick"))
    for one, css in ((real, "real-band"), (synthetic, "synthetic-band")):
        edge = _steps(one.high, years, shares) + _steps(one.low, years, shares)[::-1]
        body.append(svg.path(edge, css, closed=True))
    body.append(svg.path(_steps(real.survival, years, shares), "real-line"))
    body.append(svg.path(_steps(synthetic.survival, years, shares), "synthetic-dashes"))
    spoken = "; ".join(
        f"after {year} {'year' if year == 1 else 'years'}: real {percent(real.after(year))},"
        f" synthetic {percent(synthetic.after(year))}"
        for year in (1, 3, 5)
    )
    picture = svg.picture(
        f"Survival curves, {name}", f"Free of {ending}, {spoken}.", WIDTH, FLOOR + 36, "".join(body)
    )
    return parts.figure(picture, name, f"{count(real.n)} | {count(synthetic.n)} patients")


def _steps(values: np.ndarray, years: svg.Scale, shares: svg.Scale) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for index, value in enumerate(values):
        y = shares.at(float(value))
        if not points or abs(points[-1][1] - y) > 0.05 or index == len(values) - 1:
            x = years.at(float(YEARS[index]))
            points += [(x, points[-1][1] if points else y), (x, y)]
    return points
