"""The noise's band around a survival curve: the published intervals of `estimates/survival.csv`,
for everybody and for groups of one column. For other cohorts there is none, and the page says so.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from portal.public.explore.dimensions import Dimension
from portal.public.explore.evidence import cell_of, words_of
from portal.public.explore.state import Filter

_DAY = re.compile(r"alive at the beginning of day (\d+)")


@dataclass(frozen=True)
class Band:
    """95% intervals of the source's survival at some days."""

    days: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class _Group:
    cells: frozenset[int]
    band: Band


class Bands:
    """What a release publishes of survival."""

    def __init__(self, path: Path, dimensions: Mapping[str, Dimension]):
        self.everybody: Band | None = None
        self._groups: dict[str, list[_Group]] = {}
        for (name, group), band in (_read(path) if path.is_file() else {}).items():
            if not name:
                self.everybody = band
            elif name in dimensions and not dimensions[name].is_range:
                cells = cell_of(dimensions[name], group, words_of(dimensions[name]))
                if isinstance(cells, frozenset):
                    self._groups.setdefault(name, []).append(_Group(cells, band))

    @property
    def columns(self) -> list[str]:
        """The columns whose groups have a band."""
        return list(self._groups)

    def band(self, filters: Mapping[str, Filter], counts: Mapping[str, np.ndarray]) -> Band | None:
        """Of a cohort: everybody, or whole groups of one column. Several groups together have the
        mean of their ends, weighted by the extract's patients (`counts` by column: patients in each
        cell): wider than need be, for noises of their own partly cancel.
        """
        if not filters:
            return self.everybody
        ((name, one), *others) = filters.items()
        if others or one.cells is None or name not in self._groups:
            return None
        some = [group for group in self._groups[name] if group.cells & one.cells]
        together = frozenset[int]().union(*(group.cells for group in some))
        if not some or together != one.cells:
            return None
        weights = np.array([counts[name][list(group.cells)].sum() for group in some], float)
        if len({group.band.days for group in some}) > 1 or not weights.sum():
            return None
        low = weights @ np.array([group.band.low for group in some]) / weights.sum()
        high = weights @ np.array([group.band.high for group in some]) / weights.sum()
        return Band(some[0].band.days, tuple(low), tuple(high))


def _read(path: Path) -> dict[tuple[str, str], Band]:
    """By column and group."""
    points: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            day = _DAY.fullmatch(row["figure"])
            if day is not None and row["source_low"]:
                ends = (int(day[1]), float(row["source_low"]), float(row["source_high"]))
                points.setdefault((row["column"], row["group"]), []).append(ends)
    return {
        key: Band(*(tuple(values) for values in zip(*sorted(some), strict=True)))
        for key, some in points.items()
    }
