"""The two bounds of a fidelity figure, a fresh real sample (the best that can be) and independent
columns (what single columns alone give), and the values that hold figures beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

SEED = 0  # public


@dataclass(frozen=True, kw_only=True)
class FidelityFigure:
    """One figure of the synthetic table against the holdout, beside both bounds."""

    name: str  # in words
    synthetic: float  # NaN where it could not be computed
    best: float  # the training patients in its place: a fresh real sample
    worst: float  # the training patients with each column shuffled on its own
    is_higher_better: bool
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class FidelityFigures:
    """All figures, and what they took. `rows`: patients of the synthetic table and of both bounds,
    as many for each, as distances of samples depend on their size.
    """

    figures: tuple[FidelityFigure, ...]
    rows: int
    holdout_rows: int
    seconds: float
    sdmetrics_seconds: float  # of `seconds`

    def of(self, name: str) -> FidelityFigure:
        """The figure of this name. Raises KeyError."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(name)


@dataclass(frozen=True, eq=False)
class Cast:
    """The holdout and what is compared with it, all of one size."""

    schema: Schema
    holdout: PatientLog
    synthetic: PatientLog
    best: PatientLog
    worst: PatientLog

    @property
    def others(self) -> tuple[PatientLog, PatientLog, PatientLog]:
        return self.synthetic, self.best, self.worst

    def of(self, most: int) -> Cast:
        """At most so many patients of each."""
        logs = (some(log, most) for log in (self.holdout, *self.others))
        return Cast(self.schema, *logs)


def some(log: PatientLog, most: int) -> PatientLog:
    return log if len(log.patients) <= most else log.of(log.patients.sample(most, seed=SEED))


def shuffled_columns(log: PatientLog) -> PatientLog:
    """The same patients with each static column, and each column of the events, shuffled on its
    own: single columns stay as they are, and nothing else does. Each patient keeps the number of
    events.
    """
    patients, events = (
        None
        if frame is None
        else frame.with_columns(
            pl.col(name).shuffle(seed=SEED + place)
            for place, name in enumerate(frame.columns)
            if name not in (ID, "seq")
        )
        for frame in (log.patients, log.events)
    )
    assert patients is not None
    return PatientLog(patients, events)


def figure(
    name: str, values: list[float], *, is_higher_better: bool = False, note: str = ""
) -> FidelityFigure:
    synthetic, best, worst = values
    return FidelityFigure(
        name=name,
        synthetic=synthetic,
        best=best,
        worst=worst,
        is_higher_better=is_higher_better,
        note=note,
    )
