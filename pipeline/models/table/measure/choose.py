"""What is measured next, chosen from noisy counts alone: post-processing, so the choice costs
nothing (privacy_rules.md 10, 18).

How many blocks there are and how noisy each is was fixed before a row was read; only which columns
a block counts, and how coarsely, is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from pipeline.models.table.measure.shrink import association, excess_energy

Pair = tuple[str, str]


def coarse_map(counts: np.ndarray, wanted: int, order: np.ndarray | None) -> np.ndarray:
    """A coarse group for each group of a column, int64 [groups], at most `wanted`: equal numbers of
    patients by noisy counts [groups].

    order: groups by value, of which neighbours are merged; a missing one, not among them, stays
        alone. None: the column has no order, so the rarer groups are merged and a common category
        stands alone.
    """
    counts = np.maximum(counts.astype(float), 0.0)
    line = np.argsort(-counts, kind="stable") if order is None else order
    room = max(wanted - (len(line) < len(counts)), 1)
    middle = (np.cumsum(counts[line]) - counts[line] / 2) / max(float(counts[line].sum()), 1e-9)
    made = np.full(len(counts), room)
    made[line] = np.minimum(middle * room, room - 1).astype(np.int64)
    return np.unique(made, return_inverse=True)[1].astype(np.int64)


def strongest_pairs(
    looks: Sequence[tuple[Mapping[Pair, np.ndarray], Mapping[Pair, float]]], wanted: int
) -> list[Pair]:
    """The pairs with most dependence above their noise, strongest first: independent ones need no
    second fine look.

    looks: (counts, sigmas) of every pair, coarse or fine; each tells the squared residual up to the
        variance of its noise.
    """
    energy: dict[Pair, float] = {}
    for pair in looks[0][0]:
        seen = [
            (excess_energy(counts[pair], sigmas[pair]), 1 / (counts[pair].size * sigmas[pair] ** 4))
            for counts, sigmas in looks
        ]
        energy[pair] = sum(found * weight for found, weight in seen) / sum(
            weight for _, weight in seen
        )
    return sorted(energy, key=lambda pair: (-energy[pair], pair))[:wanted]


def closest_pairs(
    target: str, pairs: Mapping[Pair, np.ndarray], sigmas: Mapping[Pair, float], columns: int
) -> list[Pair]:
    """Pairs among the `columns` columns that tell most about the target and least about each other,
    at most columns (columns - 1) / 2.

    Greedy: the next column has the largest association with the target, times the part that no
        column before it could tell.
    """
    told = {
        b if a == target else a: association(noisy if a == target else noisy.T, sigmas[a, b])
        for (a, b), noisy in pairs.items()
        if target in (a, b)
    }
    left = dict(told)
    chosen: list[str] = []
    while left and len(chosen) < columns:
        chosen.append(max(left, key=lambda name: left[name]))
        del left[chosen[-1]]
        for (a, b), noisy in pairs.items():
            if chosen[-1] in (a, b) and (other := b if a == chosen[-1] else a) in left:
                shared = association(noisy, sigmas[a, b]) / max(min(noisy.shape) - 1, 1)
                left[other] = min(left[other], told[other] * (1 - min(shared, 1.0)))
    return [pair for pair in combinations(told, 2) if set(pair) <= set(chosen)]


def by_class(
    target: str, other: str, pairs: Mapping[Pair, np.ndarray], sigmas: Mapping[Pair, float]
) -> tuple[np.ndarray, float]:
    """(noisy counts [classes of the target, groups of the other column], sigma), whichever of the
    two stands first in the pair.
    """
    if (target, other) in pairs:
        return pairs[target, other], sigmas[target, other]
    return pairs[other, target].T, sigmas[other, target]


def coarse_groups(counts: np.ndarray, sigma: float, wanted: int) -> np.ndarray:
    """A coarse group for each group of a column, int64 [groups], at most `wanted`: equal numbers of
    patients, ordered by the target.

    counts: noisy, [classes, groups]. Groups are ordered by the shrunk share of the classes after
        the first, the later the heavier, so that what is merged is alike in its target; rare groups
        stand where an average one does.
    """
    counts = np.maximum(counts, 0.0)
    total, weight = counts.sum(0), np.arange(len(counts)) / max(len(counts) - 1, 1)
    usual = float(weight @ counts.sum(1)) / max(float(counts.sum()), 1e-9)
    score = (weight @ counts + 3 * sigma * usual) / (total + 3 * sigma)
    order = np.argsort(score, kind="stable")
    middle = np.cumsum(total[order]) - total[order] / 2
    made = np.empty(len(total), np.int64)
    made[order] = np.minimum(middle / max(float(total.sum()), 1e-9) * wanted, wanted - 1).astype(
        np.int64
    )
    return np.unique(made, return_inverse=True)[1].astype(np.int64)
