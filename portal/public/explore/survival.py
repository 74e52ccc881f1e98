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


def outcomes(end: np.ndarray, died: np.ndarray) -> np.ndarray:
    """The last day of each patient and whether the event waited for happened then, as one whole
    number.
    """
    return 2 * end + died


def grid(last: int) -> tuple[np.ndarray, np.ndarray]:
    """The days at which curves are drawn, and the yearly ticks of the numbers at risk. last: the
    last day of anybody.
    """
    last = max(last, 1)
    step = max(-(-last // POINTS), 1)
    years = int(last / YEAR)
    ticks = np.round(np.arange(years + 1) * YEAR) if years else np.array([0.0, last])
    return np.arange(0, last + step, step), ticks[:: max(-(-len(ticks) // 11), 1)].astype(int)


def curves(
    some: np.ndarray, groups: np.ndarray | None, days: np.ndarray, ticks: np.ndarray
) -> dict[int | None, Curve]:
    """By group, of those who are there. some: `outcomes` of patients; groups: the group of each, or
    None for all together.
    """
    length = int(days[-1]) + 2
    codes = some if groups is None else groups.astype(np.int64) * (2 * length) + some
    n_groups = 1 if groups is None else int(groups.max(initial=0)) + 1
    ends = np.bincount(codes, minlength=n_groups * 2 * length).reshape(n_groups, length, 2)
    return {
        None if groups is None else group: _curve(ends[group], days, ticks)
        for group in range(n_groups)
        if ends[group].any()
    }


def _curve(ends: np.ndarray, days: np.ndarray, ticks: np.ndarray) -> Curve:
    """ends: patients whose last day it was, without the event and with it, int64 [days, 2]; who
    leaves observation on a day was under risk on it.
    """
    leaves = ends.sum(axis=1)
    at_risk = leaves.sum() - np.concatenate([[0], np.cumsum(leaves)[:-1]])
    steps = 1 - ends[:, 1] / np.maximum(at_risk, 1)
    return Curve(patients=int(leaves.sum()), at=np.cumprod(steps)[days], risk=at_risk[ticks])
