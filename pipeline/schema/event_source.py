"""Where the tables of a `log` hold its events, and which days their columns can say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# days of a unit: a year of the Julian calendar, a month as its twelfth
UNITS: Mapping[str, float] = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}


@dataclass(frozen=True, kw_only=True)
class EventSource:
    """Where a `log` layout finds events: table, time, and what names type and code. A row without
    `date` and `day` stands on day 0.
    """

    table: str
    date: str | None = None  # column of dates
    day: str | None = None  # column of numbers: time since day 0, in `unit`
    unit: str = "days"  # of `day` and `duration`, one of UNITS
    type: str | None = None  # column with the type; None: every row is of type `constant`
    constant: str | None = None
    status: str | None = None  # column whose values `codes` translates to types
    codes: Mapping[str, str] | None = None
    code: str | None = None
    until: str | None = None  # column with the end of an interval, on the scale of its start
    duration: str | None = None  # column with the length of an interval, in `unit`
    closes: str | None = None  # the type of the event that ends the interval

    @property
    def time(self) -> str | None:
        """The column with the time; None: day 0."""
        return self.date or self.day

    @property
    def stop(self) -> str | None:
        """The column that says when an interval ends; None: its events are no intervals."""
        return self.until or self.duration

    @property
    def types(self) -> tuple[str, ...] | None:
        """The types that the declaration names; None: the column `type` says it."""
        if self.codes is not None:
            return tuple(dict.fromkeys(self.codes.values()))
        return None if self.constant is None else (self.constant,)


@dataclass(frozen=True)
class DayScale:
    """The days that a column can say: round(value x unit), half up, of the values with so many
    decimals whose day is within [lower, upper].
    """

    unit: float = 1.0  # days
    decimals: int = 0
    lower: int = -(2**31)
    upper: int = 2**31 - 1
    is_length: bool = False  # days since the start of an interval

    @property
    def is_coarse(self) -> bool:
        """Whether some days lie between two values."""
        return self.unit > 10.0**self.decimals

    def days(self, values: np.ndarray) -> np.ndarray:
        """Days of whole numbers of the smallest step, int64."""
        steps = np.round(values / 10.0**self.decimals, self.decimals)
        return np.floor(steps * self.unit + 0.5).astype(np.int64)

    def nearest(self, days: np.ndarray) -> np.ndarray:
        """The next day that can be said, int64: of one before day 0 never day 0 or after."""
        if not self.is_coarse:
            return days.astype(np.int64)
        steps = np.round(days / self.unit * 10.0**self.decimals)
        nearest = self.days(steps)
        return np.where((days < 0) & (nearest >= 0), self.days(np.full_like(steps, -1)), nearest)

    def from_on(self, days: np.ndarray) -> np.ndarray:
        """The first day that can be said, from each of `days` on, int64."""
        if not self.is_coarse:
            return days.astype(np.int64)
        steps = np.floor(days / self.unit * 10.0**self.decimals)
        lower, upper = self.days(steps), self.days(steps + 1)
        return np.where(lower >= days, lower, upper)

    def within(self, lower: int, upper: int) -> tuple[int, int]:
        """The first and the last day that can be said within [lower, upper]; the first is above the
        last where none can be.
        """
        low, high = max(lower, self.lower), min(upper, self.upper)
        first = int(self.from_on(np.array([low], float))[0])
        if not self.is_coarse:
            return first, high
        after = int(self.from_on(np.array([high + 1], float))[0])
        step = math.floor(after / self.unit * 10.0**self.decimals + 0.5)
        return first, int(self.days(np.array([step - 1], float))[0])
