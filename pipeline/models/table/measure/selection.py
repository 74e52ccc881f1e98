"""Selection of what is measured next, from noisy counts alone: post-processing, so the choice costs
nothing (privacy_rules.md 10, 18). The choice that costs is in `pairs.py`.

How many blocks there are and how noisy each is was fixed before a row was read; only which columns
a block counts, and how coarsely, is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from pipeline.models.table.measure.shrinkage import association, excess_energy
from pipeline.models.table.values.measurements import NoisyPair
from pipeline.models.table.values.symbols import Pair


def coarse_map(counts: np.ndarray, most: int, order: np.ndarray | None) -> np.ndarray:
    """A coarse group for each group of a column, int64 [groups], at most `most`: equal numbers of
    patients by noisy counts [groups].

    order: groups by value, of which neighbours are merged; a missing one, not among them, stays
        alone. None: the column has no order, so the rarer groups are merged and a common category
        stands alone.
    """
    counts = np.maximum(counts.astype(float), 0.0)
    groups = np.argsort(-counts, kind="stable") if order is None else order
    room = max(most - (len(groups) < len(counts)), 1)
    middle = (np.cumsum(counts[groups]) - counts[groups] / 2) / max(
        float(counts[groups].sum()), 1e-9
    )
    coarse = np.full(len(counts), room)
    coarse[groups] = np.minimum(middle * room, room - 1).astype(np.int64)
    return np.unique(coarse, return_inverse=True)[1].astype(np.int64)


def strongest_pairs(pairs: Mapping[Pair, NoisyPair], n: int) -> list[Pair]:
    """The n pairs with most dependence above their noise, strongest first: independent ones need no
    second measurement.
    """
    energy = {key: excess_energy(pair.counts, pair.sigma) for key, pair in pairs.items()}
    return sorted(energy, key=lambda key: (-energy[key], key))[:n]


def closest_pairs(target: str, pairs: Mapping[Pair, NoisyPair], columns: int) -> list[Pair]:
    """Pairs among the `columns` columns that tell most about the target and least about each other,
    at most columns (columns - 1) / 2.

    Greedy: the next column has the largest association with the target, times the part that no
        column before it could tell. Columns that were not counted together share nothing.
    """
    associations = {
        b if a == target else a: association(
            pair.counts if a == target else pair.counts.T, pair.sigma
        )
        for (a, b), pair in pairs.items()
        if target in (a, b)
    }
    remaining = dict(associations)
    closest: list[str] = []
    while remaining and len(closest) < columns:
        closest.append(max(remaining, key=lambda name: remaining[name]))
        del remaining[closest[-1]]
        for (a, b), pair in pairs.items():
            if closest[-1] in (a, b) and (other := b if a == closest[-1] else a) in remaining:
                shared = association(pair.counts, pair.sigma) / max(min(pair.counts.shape) - 1, 1)
                remaining[other] = min(
                    remaining[other], associations[other] * (1 - min(shared, 1.0))
                )
    return [pair for pair in combinations(associations, 2) if set(pair) <= set(closest)]


def by_class(target: str, other: str, pairs: Mapping[Pair, NoisyPair]) -> NoisyPair:
    """Noisy counts [classes of the target, groups of the other column], whichever of the two stands
    first in the pair.
    """
    if (target, other) in pairs:
        return pairs[target, other]
    return NoisyPair(pairs[other, target].counts.T, pairs[other, target].sigma)


def target_ordered_groups(by_class: NoisyPair, most: int) -> np.ndarray:
    """A coarse group for each group of a column, int64 [groups], at most `most`: equal numbers of
    patients, ordered by the target.

    by_class: counts [classes, groups]. Groups are ordered by the shrunk share of the classes after
        the first, the later the heavier, so that what is merged is alike in its target; rare groups
        stand where an average one does.
    """
    counts, sigma = by_class.counts, by_class.sigma
    counts = np.maximum(counts, 0.0)
    total, weight = counts.sum(0), np.arange(len(counts)) / max(len(counts) - 1, 1)
    mean = float(weight @ counts.sum(1)) / max(float(counts.sum()), 1e-9)
    score = (weight @ counts + 3 * sigma * mean) / (total + 3 * sigma)
    order = np.argsort(score, kind="stable")
    middle = np.cumsum(total[order]) - total[order] / 2
    coarse = np.empty(len(total), np.int64)
    coarse[order] = np.minimum(middle / max(float(total.sum()), 1e-9) * most, most - 1).astype(
        np.int64
    )
    return np.unique(coarse, return_inverse=True)[1].astype(np.int64)
