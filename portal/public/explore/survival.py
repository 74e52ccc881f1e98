"""Survival of a cohort in the extract, with the numbers at risk. No interval is made of the
synthetic rows: it would hold chance and not the noise (docs/estimates.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POINTS = 120  # of a curve
YEAR = 365.25


@dataclass(frozen=True)
class Curve:
    """Kaplan and Meier (1958). at: share alive after each day of a grid; risk: patients under
    observation at each tick.
    """

    patients: int
    at: np.ndarray  # float64 [grid]
    risk: np.ndarray  # int64 [ticks]


def grid(end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The days at which curves are drawn, and the yearly ticks of the numbers at risk. end: last
    day of everybody.
    """
    last = max(int(end.max()) if len(end) else 0, 1)
    step = max(-(-last // POINTS), 1)
    years = int(last / YEAR)
    ticks = np.round(np.arange(years + 1) * YEAR) if years else np.array([0.0, last])
    return np.arange(0, last + step, step), ticks[:: max(-(-len(ticks) // 11), 1)].astype(int)


def curve(end: np.ndarray, died: np.ndarray, days: np.ndarray, ticks: np.ndarray) -> Curve:
    """end: last day of each patient; died: whether the event waited for happened then; who leaves
    observation on a day was under risk on it.
    """
    length = int(max(days[-1], end.max() if len(end) else 0)) + 2
    deaths = np.bincount(end[died], minlength=length)
    leaves = np.bincount(end, minlength=length)
    at_risk = len(end) - np.concatenate([[0], np.cumsum(leaves)[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(at_risk > 0, 1 - deaths / at_risk, 1.0)
    alive = np.cumprod(step)
    return Curve(patients=len(end), at=alive[days], risk=at_risk[ticks])
