"""Kaplan-Meier curves with Greenwood's variance, from the event table of lifelines."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from lifelines.utils import survival_table_from_events

from pipeline.evaluation.analyses.estimates import DAYS_PER_YEAR, Z95
from pipeline.evaluation.findings import Estimate
from pipeline.evaluation.pathways import survival as ends
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

HORIZON = 5 * DAYS_PER_YEAR


@dataclass(frozen=True)
class Curve:
    """Survival just after each of `days`, ascending, the first 0. hazard_variance: cumulative sum
    of d / (n (n - d)) (Greenwood).
    """

    days: np.ndarray
    alive: np.ndarray
    hazard_variance: np.ndarray
    at_risk: np.ndarray  # just before each day
    n: int
    deaths: int

    def places(self, days: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.days, days, side="right") - 1

    def shares(self, days: np.ndarray) -> np.ndarray:
        """Survival at `days`, 0 to 1."""
        return self.alive[self.places(days)]

    def errors(self, days: np.ndarray) -> np.ndarray:
        """Standard errors at `days`; at least 1/n, for a curve that has not fallen yet."""
        places = self.places(days)
        errors = self.alive[places] * np.sqrt(self.hazard_variance[places])
        return np.maximum(errors, 1 / max(self.n, 1))

    def watched(self, day: float) -> int:
        """Patients under observation at a day."""
        place = int(np.searchsorted(self.days, day, side="left"))
        return int(self.at_risk[place]) if place < len(self.days) else 0

    def at(self, day: float) -> Estimate:
        """Survival at a day in per cent."""
        share = 100 * float(self.shares(np.array([day]))[0])
        reach = 100 * Z95 * float(self.errors(np.array([day]))[0])
        return Estimate(
            value=share, low=max(0.0, share - reach), high=min(100.0, share + reach), n=self.n
        )

    def restricted_mean(self, horizon: float = HORIZON) -> Estimate:
        """Years alive within the horizon (days), on average (Royston and Parmar 2013)."""
        inside = self.days < horizon
        edges = np.append(self.days[inside], horizon)
        areas = self.alive[inside] * np.diff(edges)
        left = np.cumsum(areas[::-1])[::-1]  # from each day to the horizon
        steps = np.diff(self.hazard_variance[inside], prepend=0.0)
        years = float(areas.sum()) / DAYS_PER_YEAR
        reach = Z95 * math.sqrt(float((left**2 * steps).sum())) / DAYS_PER_YEAR
        return Estimate(value=years, low=years - reach, high=years + reach, n=self.n)

    def median(self) -> Estimate | None:
        """Days until half have died, with the interval where the curve's own crosses a half
        (Brookmeyer and Crowley 1982); None where it or its upper bound does not fall so far.
        """
        spread = Z95 * self.alive * np.sqrt(self.hazard_variance)
        days = [
            self.days[np.argmax(bound <= 0.5)] if (bound <= 0.5).any() else math.nan
            for bound in (self.alive - spread, self.alive, self.alive + spread)
        ]
        if any(math.isnan(day) for day in days):
            return None
        return Estimate(value=float(days[1]), low=float(days[0]), high=float(days[2]), n=self.n)


def curve(rows: pl.DataFrame) -> Curve:
    """Of `days` and `died` of patients."""
    if len(rows) == 0:
        return Curve(np.zeros(1), np.ones(1), np.zeros(1), np.zeros(1), 0, 0)
    table = survival_table_from_events(rows["days"].to_numpy(), rows["died"].to_numpy())
    days, at_risk = table.index.to_numpy(float), table["at_risk"].to_numpy(float)
    died = table["observed"].to_numpy(float)
    rest = np.maximum(at_risk - died, 0)
    alive = np.cumprod(np.where(at_risk > 0, rest / np.maximum(at_risk, 1), 1.0))
    steps = np.where(rest > 0, died / np.maximum(at_risk * rest, 1), 0.0)
    if days[0] > 0:
        days, at_risk = np.append(0.0, days), np.append(float(len(rows)), at_risk)
        alive, steps = np.append(1.0, alive), np.append(0.0, steps)
    return Curve(days, alive, np.cumsum(steps), at_risk, len(rows), int(died.sum()))


def outcomes(schema: Schema, log: PatientLog) -> pl.DataFrame:
    """The static columns with `days` and `died` of each patient whose pathway ends."""
    assert schema.events is not None
    rows = ends(log, schema.events, None).drop("stratum")
    return log.patients.join(rows, on="patient_id", maintain_order="left")
