"""A numeric column's cumulative distribution, and where inside its bin a value lies given the value
of the column at the other end of its edge: a normal copula (Sklar 1959).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.values.symbols import Symbols

_ENDS = 1e-9  # keeps normal scores finite


def symbols_by_value(domain: Domain, symbols: Symbols) -> np.ndarray:
    """Symbols of a numeric column by value, int64; missing has no place among them.

    Those of one group stand together, also where a bin reaches over an atom: the bin then comes
    first.
    """
    atoms = domain.lattice(np.array(domain.atoms)) if domain.atoms else np.empty(0, np.int64)
    first = np.where(symbols.atom >= 0, np.append(atoms, 0)[symbols.atom], symbols.start)
    lowest = np.full(symbols.groups, np.iinfo(np.int64).max)
    np.minimum.at(lowest, symbols.group, first)
    order = np.lexsort((first, symbols.group, lowest[symbols.group]))
    return np.asarray(order[~symbols.missing[order]])


def groups_by_value(domain: Domain, symbols: Symbols) -> np.ndarray:
    """Groups of a numeric column by value, int64, without missing."""
    groups = symbols.group[symbols_by_value(domain, symbols)]
    return np.asarray(groups[np.sort(np.unique(groups, return_index=True)[1])])


@dataclass(frozen=True, eq=False)
class Quantiles:
    """A column's symbols, under the conditions at hand, as intervals [low, high) of its cumulative
    distribution; NaN for missing.

    `order`: symbols by value; those of group g are order[begin[g]:end[g]] and reach from first[g]
    to last[g].
    """

    low: np.ndarray  # float64 [symbols]
    high: np.ndarray  # float64 [symbols]
    order: np.ndarray  # int64 [symbols that are not missing]
    begin: np.ndarray  # int64 [groups]
    end: np.ndarray  # int64 [groups]

    @property
    def first(self) -> np.ndarray:
        return np.asarray(self.low[self.order[self.begin]])

    @property
    def last(self) -> np.ndarray:
        return np.asarray(self.high[self.order[self.end - 1]])

    def scores(self, symbols: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Normal score of each row, float64 [n]; NaN for missing.

        symbols: int64 [n]. position: float [n] in [0, 1), of the value within its symbol.
        """
        low = self.low[symbols]
        return np.asarray(
            ndtri(np.clip(low + position * (self.high[symbols] - low), _ENDS, 1 - _ENDS))
        )

    def place(
        self, groups: np.ndarray, uniform: np.ndarray, scores: np.ndarray, correlation: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """(symbols, positions within them) of rows in these groups: a normal copula with the
        parent's scores, cut to the group.

        groups: int64 [n]. uniform: float [n] in [0, 1). scores: the parent's normal scores, float
        [n]; NaN, for a missing one, says nothing.
        """
        if not len(self.order):  # conditions leave missing alone
            return np.zeros(len(groups), np.int64), np.zeros(len(groups))
        strength = np.where(np.isnan(scores), 0.0, correlation)
        mean, deviation = strength * np.nan_to_num(scores), np.sqrt(1 - strength**2)
        low, high = (
            ndtr((ndtri(np.clip(end[groups], _ENDS, 1 - _ENDS)) - mean) / deviation)
            for end in (self.first, self.last)
        )
        quantile = ndtr(
            ndtri(np.clip(low + uniform * (high - low), _ENDS, 1 - _ENDS)) * deviation + mean
        )
        rank = np.searchsorted(self.high[self.order], quantile, side="right")
        symbols = self.order[np.clip(rank, self.begin[groups], self.end[groups] - 1)]
        position = (quantile - self.low[symbols]) / np.maximum(
            self.high[symbols] - self.low[symbols], 1e-300
        )
        return symbols, np.clip(position, 0.0, 1 - 1e-12)


def column_quantiles(
    domain: Domain, whole: Symbols, part: Symbols, origin: np.ndarray, margin: np.ndarray
) -> Quantiles:
    """The quantiles of a numeric column of which conditions leave `part`.

    whole: all symbols of the column. part: symbols that the conditions leave, each a part of the
    whole one `origin[symbol]`, int64. margin: float [groups], probabilities without conditions.
    """
    order = symbols_by_value(domain, whole)
    mass = margin[whole.group[order]] * whole.share[order]
    ends = np.concatenate([[0.0], np.cumsum(mass)]) / max(float(mass.sum()), 1e-300)
    low, high = np.full(len(whole.group), np.nan), np.full(len(whole.group), np.nan)
    low[order], high[order] = ends[:-1], ends[1:]
    points = np.maximum(whole.stop - whole.start, 1)[origin]
    unit = (high - low)[origin] / points
    is_range = part.stop > part.start
    bottom = low[origin] + np.where(is_range, (part.start - whole.start[origin]) * unit, 0.0)
    top = np.where(is_range, low[origin] + (part.stop - whole.start[origin]) * unit, high[origin])
    part_order = symbols_by_value(domain, part)
    places = np.arange(len(part_order))
    begin, end = np.zeros(whole.groups, np.int64), np.ones(whole.groups, np.int64)
    begin[part.group[part_order[::-1]]] = places[::-1]
    end[part.group[part_order]] = places + 1
    return Quantiles(bottom, top, part_order, begin, end)
