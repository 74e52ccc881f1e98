"""Means of numbers from the trees of their noisy counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline.estimates.values import Interval, NoisyEstimate, Z
from pipeline.models.noisy_tables import NoisyTable
from pipeline.models.table.domain.trees import consistent_tree
from pipeline.refusal import Refusal

DRAWS = 400  # of noise, for the spread of a mean
SEED = 0  # public


def mean(tables: Sequence[NoisyTable], name: str) -> NoisyEstimate:
    """Of all patients who have the number; a leaf's people stand in its middle. Raises Refusal for
    what is no number of this release.
    """
    levels = [table for table in tables if table.name.startswith(f"tree/{name}/")]
    if not levels:
        raise Refusal(
            f"{name}: no mean, because it is no number that this release counted"
            " (`python -m pipeline estimate RELEASE` lists what was counted)"
        )
    cells = levels[-1].axes[0].cells
    is_number = np.array([cell.low is not None for cell in cells])
    middles = np.array([((cell.low or 0.0) + (cell.high or 0.0)) / 2 for cell in cells])[is_number]
    sigmas = [table.sigma for table in levels]
    specials = _specials(levels)

    def leaves(noise: np.random.Generator | None) -> np.ndarray:
        """Counts of the leaves and of what has none, as the levels tell together."""
        counts = [
            table.counts
            + (0 if noise is None else noise.normal(0.0, table.sigma, len(table.counts)))
            for table in levels
        ]
        nodes = [c[: len(c) - specials] for c in counts]
        precision = np.array(sigmas) ** -2.0
        ends = np.stack([c[len(c) - specials :] for c in counts])
        rest = precision @ ends / precision.sum()
        return np.concatenate([consistent_tree(nodes, sigmas)[-1], rest])[is_number]

    people = leaves(None)
    n = max(float(people.sum()), 1.0)
    value = float(people @ middles) / n
    rng = np.random.default_rng(SEED)
    spread = [float(fresh @ middles / fresh.sum()) for fresh in (leaves(rng) for _ in range(DRAWS))]
    noise = float(np.std(spread))
    variance = max(float(people @ (middles - value) ** 2) / n, 0.0)
    sampling = math.sqrt(variance / n)
    both = math.hypot(noise, sampling)
    return NoisyEstimate(
        value=value,
        source=Interval(low=value - Z * noise, high=value + Z * noise),
        population=Interval(low=value - Z * both, high=value + Z * both),
        noise=noise,
        sampling=sampling,
    )


def _specials(levels: Sequence[NoisyTable]) -> int:
    """Atoms and missing, which every level counts again: cells that all levels share at the end."""
    shared = 0
    for first, second in zip(
        reversed(levels[0].axes[0].cells), reversed(levels[-1].axes[0].cells), strict=False
    ):
        if first != second:
            break
        shared += 1
    return shared
