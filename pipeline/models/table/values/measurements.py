"""Noisy counts as they were measured, and the marginals that post-processing makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.models.table.values.symbols import Grouping, Pair


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
    """Noisy counts over groups, with their sigmas by name. Charged, so free to use."""

    groupings: dict[str, Grouping]
    # int64 [cells] of categories, [groups] of numeric columns
    one_ways: dict[str, np.ndarray]
    coarse_groups: dict[str, np.ndarray]  # int64 [groups], coarse group of each group
    coarse: dict[Pair, np.ndarray]  # int64 [coarse a, coarse b], every pair
    # float64 [groups a, groups b], fine counts by inverse variance, where there are any
    pairs: dict[Pair, np.ndarray]
    pair_sigmas: dict[Pair, float]
    pivots: tuple[Pivot, ...]
    sigmas: dict[str, float]  # by the name of the block in the plan


@dataclass(frozen=True, eq=False)
class Marginals:
    """Probabilities that the generator is fitted to, and how much each marginal is worth
    (1 / variance of a probability).
    """

    size: float  # number of patients, from noisy sums
    margins: dict[str, np.ndarray]  # float64 [groups], sums to 1
    coarse_groups: dict[str, np.ndarray]  # int64 [groups], coarse group of each group
    coarse: dict[Pair, np.ndarray]  # float64 [coarse a, coarse b], every pair, sums to 1
    coarse_weights: dict[Pair, float]
    # float64 [groups a, groups b], pairs with fine counts, sums to 1
    pairs: dict[Pair, np.ndarray]
    pair_weights: dict[Pair, float]
    margin_weights: dict[str, float]
    independent: int  # pairs in which nothing rose above the noise
