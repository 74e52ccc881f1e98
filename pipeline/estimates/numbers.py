"""Numbers and dates from the trees of their noisy counts: patients in a range, and means."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline.estimates.values import Interval, NoisyEstimate, Sum, Z
from pipeline.models.noisy_tables import Cell, NoisyTable
from pipeline.models.table.domain.trees import consistent_tree
from pipeline.refusal import Refusal

Range = tuple[float, float]  # both ends within; dates as days since 1970-01-01
DRAWS = 400  # of noise, for the spread of a mean
SEED = 0  # public


def levels_of(tables: Sequence[NoisyTable], name: str) -> list[NoisyTable]:
    """The levels of a number's tree, from few nodes to many; [] for what is no number."""
    return [table for table in tables if table.is_level and table.columns == (name,)]


def in_range(levels: Sequence[NoisyTable], bounds: Range) -> Sum:
    """Patients within the range, by the fewest nodes that make it up: the nodes of each level that
    lie within as a whole and in no node that was taken before. Of a leaf at an end of the range the
    part that lies within, as if its people were spread evenly.
    """
    n_specials = specials_of(levels)
    patients, variance = 0.0, 0.0
    nodes_so_far: list[Range] = []
    for table in levels:
        nodes = len(table.counts) - n_specials
        is_last = table is levels[-1]
        for cell, count in zip(table.axes[0].cells[:nodes], table.counts[:nodes], strict=True):
            part = overlap(cell, bounds)
            low, high = _ends(cell)
            if (part < 1 and not (is_last and part > 0)) or any(
                first <= low and high <= last for first, last in nodes_so_far
            ):
                continue
            nodes_so_far.append((low, high))
            patients += part * float(count)
            variance += (part * table.sigma) ** 2
    if n_specials:
        cells = levels[0].axes[0].cells[-n_specials:]
        within = np.array([overlap(cell, bounds) == 1 for cell in cells])
        atoms = _specials(levels, [table.counts for table in levels], n_specials)
        patients += float(atoms[within].sum())
        variance += float(within.sum()) / sum(table.sigma**-2 for table in levels)
    return Sum(patients, variance)


def overlap(cell: Cell, bounds: Range) -> float:
    """How much of a cell lies within the range, 0 to 1; 0 of what is no number."""
    if not cell.is_range:
        return 0.0
    (low, high), (first, last) = _ends(cell), bounds
    if first <= low and high <= last:
        return 1.0
    if high < first or low > last or high == low:
        return 0.0
    return (min(high, last) - max(low, first)) / (high - low)


def mean(tables: Sequence[NoisyTable], name: str) -> NoisyEstimate:
    """Of all patients who have the number; a leaf's people stand in its middle. Raises Refusal for
    what is no number of this release.
    """
    levels = levels_of(tables, name)
    if not levels:
        raise Refusal(
            f"{name}: no mean, because it is no number that this release counted"
            " (`python -m pipeline estimate RELEASE` lists what was counted)"
        )
    is_number = np.array([cell.is_range for cell in levels[-1].axes[0].cells])
    middles = np.array([sum(_ends(c)) / 2 for c in levels[-1].axes[0].cells if c.is_range])
    people = _leaves(levels, None)[is_number]
    n = max(float(people.sum()), 1.0)
    value = float(people @ middles) / n
    rng = np.random.default_rng(SEED)
    fresh = (_leaves(levels, rng)[is_number] for _ in range(DRAWS))
    noise = float(np.std([float(counts @ middles / counts.sum()) for counts in fresh]))
    sampling = math.sqrt(max(float(people @ (middles - value) ** 2) / n, 0.0) / n)
    both = math.hypot(noise, sampling)
    return NoisyEstimate(
        value=value,
        source=Interval(low=value - Z * noise, high=value + Z * noise),
        population=Interval(low=value - Z * both, high=value + Z * both),
        noise=noise,
        sampling=sampling,
    )


def _leaves(levels: Sequence[NoisyTable], noise: np.random.Generator | None) -> np.ndarray:
    """Counts of the leaves and then of the specials, as all levels tell together; with fresh noise
    where a generator is given.
    """
    n_specials = specials_of(levels)
    counts = [
        table.counts + (0 if noise is None else noise.normal(0.0, table.sigma, len(table.counts)))
        for table in levels
    ]
    nodes = [level[: len(level) - n_specials] for level in counts]
    leaves = consistent_tree(nodes, [table.sigma for table in levels])[-1]
    return np.concatenate([leaves, _specials(levels, counts, n_specials)])


def specials_of(levels: Sequence[NoisyTable]) -> int:
    """How many cells at the end are atoms or missing: those that all levels share."""
    shared = 0
    ends = (reversed(levels[0].axes[0].cells), reversed(levels[-1].axes[0].cells))
    for first, second in zip(*ends, strict=False):
        if first != second or len(levels) == 1:
            break
        shared += 1
    return shared


def _specials(
    levels: Sequence[NoisyTable], counts: Sequence[np.ndarray], n_specials: int
) -> np.ndarray:
    """Atoms and missing, which every level counts once: by inverse variance."""
    precision = np.array([table.sigma**-2 for table in levels])
    ends = np.stack([level[len(level) - n_specials :] for level in counts])
    return np.asarray(precision @ ends / precision.sum())


def _ends(cell: Cell) -> Range:
    assert cell.low is not None and cell.high is not None
    return cell.low, cell.high
