"""Results of an experiment: one line of JSON per run, so that a run which is there already is not
done again, and means over paired runs with their intervals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from pipeline.refusal import Refusal

Row = dict[str, Any]


class Results:
    """The lines of one file. Raises Refusal for a file that is no such thing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        try:
            self.rows: list[Row] = [json.loads(line) for line in text.splitlines()]
        except json.JSONDecodeError:
            raise Refusal(f"{path} holds no results, a line of JSON each: move it away") from None

    def holds(self, **facts: Any) -> bool:
        return any(facts.items() <= row.items() for row in self.rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Whole runs only: the lines are written at once."""
        new = [
            {k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()} for row in rows
        ]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row) + "\n" for row in new))
        self.rows += new

    def select(self, **facts: Any) -> list[Row]:
        return [row for row in self.rows if facts.items() <= row.items()]


def mean_with_interval(values: Sequence[float], test_to_train: float) -> tuple[float, float, float]:
    """(mean, low, high) of a figure over random splits, 95%. Splits share rows, so the variance of
    the mean is 1/k + test/train of theirs (Nadeau and Bengio 2003, section 3, corrected t).
    """
    present = np.array([value for value in values if math.isfinite(value)])
    if len(present) < 2:
        mean = float(present.mean()) if len(present) else math.nan
        return mean, math.nan, math.nan
    mean, variance = float(present.mean()), float(present.var(ddof=1))
    half = float(t.ppf(0.975, len(present) - 1)) * math.sqrt(
        variance * (1 / len(present) + test_to_train)
    )
    return mean, mean - half, mean + half


def points(figures: tuple[float, float, float]) -> str:
    """`+1.2 (-0.3 to +2.7)`: a gain in points of 100."""
    mean, low, high = (100 * figure for figure in figures)
    if not math.isfinite(mean):
        return "-"
    if not math.isfinite(low):
        return f"{mean:+.1f}"
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown."""
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *[f"| {' | '.join(line)} |" for line in lines],
    ]


def averages(row: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of each measure over the classifiers."""
    names = next(iter(row.values()))
    return {name: float(np.mean([one[name] for one in row.values()])) for name in names}
