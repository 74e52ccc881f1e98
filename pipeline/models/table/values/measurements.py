"""Noisy counts as they were measured, and the marginals that post-processing makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.models.table.values.symbols import Grouping, Pair


@dataclass(frozen=True, eq=False)
class Estimate:
    """Counts of a column's cells or groups, float64 [n], each with the variance of its noise,
    [n].
    """

    counts: np.ndarray
    variances: np.ndarray

    def with_more(self, other: Estimate) -> Estimate:
        """These cells and then the others."""
        return Estimate(
            np.concatenate([self.counts, other.counts]),
            np.concatenate([self.variances, other.variances]),
        )

    def grouped(self, grouping: Grouping) -> Estimate:
        """Sums of cells by group."""
        of_cell = grouping.of_cell
        return Estimate(
            np.bincount(of_cell, self.counts, minlength=grouping.groups),
            np.bincount(of_cell, self.variances, minlength=grouping.groups),
        )


@dataclass(frozen=True, eq=False)
class Columns:
    """What is known of each column before pairs are counted."""

    groupings: dict[str, Grouping]
    estimates: dict[str, Estimate]  # of the groups
    contradicted: tuple[str, ...] = ()  # known tables of one column that the noisy counts deny


@dataclass(frozen=True, eq=False)
class NoisyPair:
    """Counts of a pair of columns, [groups a, groups b], all measurements of it together, and the
    standard deviation of the noise in each cell.
    """

    counts: np.ndarray
    sigma: float

    def with_another(self, other: NoisyPair) -> NoisyPair:
        """Both by inverse variance."""
        one, two = self.sigma**-2, other.sigma**-2
        return NoisyPair(
            (one * self.counts + two * other.counts) / (one + two), (one + two) ** -0.5
        )


@dataclass(frozen=True, eq=False)
class Pivot:
    """Noisy counts of two columns per class of a target, over coarse groups: `coarse[i][g]` is that
    of group g of column i.
    """

    target: str
    pair: Pair
    coarse: tuple[np.ndarray, np.ndarray]  # int64 [groups]
    counts: np.ndarray  # int64 [classes, coarse a, coarse b]
    sigma: float  # standard deviation of the noise in each cell


@dataclass(frozen=True, eq=False)
class Measurements:
    """Noisy counts over groups. Charged, so free to use."""

    columns: Columns
    pairs: dict[Pair, NoisyPair]  # those that were looked at
    # the same over coarse groups: pairs of columns with an order
    coarse: dict[Pair, NoisyPair]
    coarse_groups: dict[str, np.ndarray]  # int64 [groups], coarse group of each group
    pivots: tuple[Pivot, ...] = ()

    @property
    def groupings(self) -> dict[str, Grouping]:
        return self.columns.groupings


@dataclass(frozen=True, eq=False)
class Marginals:
    """Probabilities that the generator is fitted to, and how much each marginal is worth
    (1 / variance of a probability).
    """

    size: float  # number of patients, from noisy sums
    margins: dict[str, np.ndarray]  # float64 [groups], sums to 1
    margin_weights: dict[str, np.ndarray]  # float64 [groups]
    # float64 [groups a, groups b], sums to 1; pairs that were looked at or are known
    pairs: dict[Pair, np.ndarray]
    pair_weights: dict[Pair, float | np.ndarray]  # of each cell, or of all
    coarse: dict[Pair, np.ndarray]  # float64 [coarse a, coarse b], sums to 1
    coarse_weights: dict[Pair, float]
    coarse_groups: dict[str, np.ndarray]  # int64 [groups], of the columns in `coarse`
    # bool [groups a, groups b]: of which a table speaks, and which are as good as empty
    rare: dict[Pair, np.ndarray]
    independent: int  # pairs looked at in which nothing rose above the noise
    contradicted: tuple[str, ...] = ()  # known tables that the noisy counts deny
