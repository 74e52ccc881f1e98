"""Numeric columns on the normal scale: where inside its bin a value lies, given the value that its
edge comes from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from pipeline.models.table.domain.bins import Symbols
from pipeline.models.table.domain.encode import Domain

_ENDS = 1e-9  # keeps normal scores finite


def by_value(cells: Domain, symbols: Symbols) -> np.ndarray:
    """Symbols of a numeric column by value, int64; missing has no place among them.

    Those of one group stand together, also where a bin reaches over an atom: the bin then comes
    first.
    """
    atoms = cells.lattice(np.array(cells.atoms)) if cells.atoms else np.empty(0, np.int64)
    first = np.where(symbols.atom >= 0, np.append(atoms, 0)[symbols.atom], symbols.start)
    lowest = np.full(symbols.groups, np.iinfo(np.int64).max)
    np.minimum.at(lowest, symbols.group, first)
    order = np.lexsort((first, symbols.group, lowest[symbols.group]))
    return np.asarray(order[~symbols.missing[order]])


def groups_by_value(cells: Domain, symbols: Symbols) -> np.ndarray:
    """Groups of a numeric column by value, int64, without missing."""
    groups = symbols.group[by_value(cells, symbols)]
    return np.asarray(groups[np.sort(np.unique(groups, return_index=True)[1])])


@dataclass(frozen=True, eq=False)
class Line:
    """The column's symbols, under the conditions at hand, as intervals [low, high) of its
    cumulative distribution; NaN for missing.

    `order`: symbols by value; those of group g are order[begin[g]:end[g]] and reach from first[g]
    to last[g].
    """

    low: np.ndarray
    high: np.ndarray
    order: np.ndarray
    begin: np.ndarray  # int64 [groups]
    end: np.ndarray  # int64 [groups]

    @property
    def first(self) -> np.ndarray:
        return np.asarray(self.low[self.order[self.begin]])

    @property
    def last(self) -> np.ndarray:
        return np.asarray(self.high[self.order[self.end - 1]])

    def scores(self, picked: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Normal score of each row, float64 [n]: of its place `position` in [0, 1) within its
        symbol. NaN for missing.
        """
        low = self.low[picked]
        return np.asarray(
            ndtri(np.clip(low + position * (self.high[picked] - low), _ENDS, 1 - _ENDS))
        )

    def place(
        self, groups: np.ndarray, uniform: np.ndarray, given: np.ndarray, correlation: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """(symbols, positions within them) of rows in these groups: a normal copula with the
        parent's scores, cut to the group.

        given: the parent's normal scores; NaN, for a missing one, says nothing.
        """
        if not len(self.order):  # conditions leave missing alone
            return np.zeros(len(groups), np.int64), np.zeros(len(groups))
        strength = np.where(np.isnan(given), 0.0, correlation)
        middle, spread = strength * np.nan_to_num(given), np.sqrt(1 - strength**2)
        low, high = (
            ndtr((ndtri(np.clip(end[groups], _ENDS, 1 - _ENDS)) - middle) / spread)
            for end in (self.first, self.last)
        )
        reached = ndtr(
            ndtri(np.clip(low + uniform * (high - low), _ENDS, 1 - _ENDS)) * spread + middle
        )
        rank = np.searchsorted(self.high[self.order], reached, side="right")
        picked = self.order[np.clip(rank, self.begin[groups], self.end[groups] - 1)]
        inside = (reached - self.low[picked]) / np.maximum(
            self.high[picked] - self.low[picked], 1e-300
        )
        return picked, np.clip(inside, 0.0, 1 - 1e-12)


def line(
    cells: Domain, whole: Symbols, kept: Symbols, origin: np.ndarray, margin: np.ndarray
) -> Line:
    """`kept`: symbols that the conditions leave, each a part of the whole one `origin[symbol]`.
    margin: float [groups] without conditions.
    """
    order = by_value(cells, whole)
    mass = margin[whole.group[order]] * whole.share[order]
    ends = np.concatenate([[0.0], np.cumsum(mass)]) / max(float(mass.sum()), 1e-300)
    low, high = np.full(len(whole.group), np.nan), np.full(len(whole.group), np.nan)
    low[order], high[order] = ends[:-1], ends[1:]
    points = np.maximum(whole.stop - whole.start, 1)[origin]
    unit = (high - low)[origin] / points
    is_range = kept.stop > kept.start
    bottom = low[origin] + np.where(is_range, (kept.start - whole.start[origin]) * unit, 0.0)
    top = np.where(is_range, low[origin] + (kept.stop - whole.start[origin]) * unit, high[origin])
    found = by_value(cells, kept)
    places = np.arange(len(found))
    begin, end = np.zeros(whole.groups, np.int64), np.ones(whole.groups, np.int64)
    begin[kept.group[found[::-1]]] = places[::-1]
    end[kept.group[found]] = places + 1
    return Line(bottom, top, found, begin, end)
