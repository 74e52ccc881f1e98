"""From noisy counts over public cells to the groups that the model works on, and first estimates of
their counts. Free: no row is read here.

The cells of a numeric column's tree are merged into at most `bins` groups. Categories too rare to
tell from noise share one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.domain.tails import smooth_tails
from pipeline.models.table.domain.trees import (
    consistent_tree,
    evened_tree,
    inhabited,
    split_cells,
    tree_of,
)
from pipeline.models.table.values.measurements import Estimate
from pipeline.models.table.values.symbols import Grouping, Symbols

# standard deviations of noise that a node must hold to be split: differences are shrunk already
_SPLIT = 2.0


def merge_cells(counts: np.ndarray, most: int, begins: np.ndarray) -> np.ndarray:
    """Bin of each cell, int64 [cells]: neighbours up to an equal share of the patients, a heavy
    cell alone, at most `most` bins, or one more than `begins` has. counts: at least 0, [cells] in
    order. begins: bool [cells], where a bin must begin.
    """
    limit = max(counts.sum(), 1e-9) / most
    most = max(most, int(begins.sum()) + 1)
    while True:
        bins, mass, current = np.zeros(len(counts), np.int64), 0.0, 0
        for place, count in enumerate(counts):
            is_full = mass + 0.5 * count > limit or count >= limit or mass >= limit
            if place and (is_full or begins[place]):
                current, mass = current + 1, 0.0
            bins[place], mass = current, mass + count
        if current < most:
            return bins
        limit *= 1.1


def numeric_grouping(
    domain: Domain,
    levels: Sequence[np.ndarray],
    sigmas: Sequence[float],
    most: int,
    heaps: bool = True,
) -> tuple[Grouping, Estimate]:
    """Bins of a numeric column, at most `most` or one per break, and specials; with their counts.

    levels: noisy counts of each level, nodes first, then atoms and missing (the same cells at every
        level). sigmas: standard deviation of each level's noise. most: bins at most. heaps: look
        for round numbers.
    """
    specials = domain.size - domain.leaves
    nodes = [level[: len(level) - specials] for level in levels]
    # what lies outside counts as the nearest bin
    span = inhabited(nodes, sigmas) if domain.column.learn else (0, domain.leaves)
    tree, in_tail = _tree(domain, nodes, sigmas, span)
    terminal, breaks = _terminal(domain, tree, sigmas, span)
    firsts, _, counts = (np.array(part) for part in zip(*terminal, strict=True))
    bins = merge_cells(counts, most, np.isin(firsts, breaks))
    of_cell = np.full(domain.size, bins[-1], np.int32)
    of_cell[: span[0]] = 0
    group, share, start, stop = [], [], [], []
    for place, (first, last, count) in enumerate(terminal):
        of_cell[first:last] = bins[place]
        heap = _heap(domain, first, last, count, tree[-1], sigmas[-1]) if heaps else []
        for low, high, part in heap or _segments(domain, first, last, tree[-1], in_tail):
            group.append(bins[place])
            share.append((count + 1e-9) * part)
            start.append(low)
            stop.append(high)
    base = int(bins[-1]) + 1
    of_cell[domain.leaves :] = base + np.arange(specials)
    nullable, none = int(domain.column.nullable), [0] * specials
    symbols = Symbols(
        group=np.array([*group, *range(base, base + specials)], np.int64),
        share=np.array([*share, *[1.0] * specials]),
        start=np.array([*start, *none], np.int64),
        stop=np.array([*stop, *none], np.int64),
        atom=np.array([-1] * len(group) + [*range(len(domain.atoms)), *[-1] * nullable], np.int64),
        missing=np.array([False] * (len(group) + specials - nullable) + [True] * nullable),
    )
    in_bins = Estimate(
        np.bincount(of_cell[: domain.leaves], tree[-1], minlength=base),
        # neighbours of a consistent tree: sums stray little more than single nodes
        np.bincount(bins, minlength=base).clip(max=2) * max(sigmas) ** 2,
    )
    estimate = in_bins.with_more(_specials(levels, sigmas, specials))
    return Grouping(of_cell, symbols.normalised(), n_merged=0), estimate


def _terminal(
    domain: Domain,
    tree: Sequence[np.ndarray],
    sigmas: Sequence[float],
    span: tuple[int, int],
) -> tuple[list[tuple[int, int, float]], list[int]]:
    """(the terminal cells within the leaves of `span`, leaves at which a bin begins)."""
    breaks = sorted({*domain.breaks(), *span} - {0, domain.leaves})
    threshold = max(0.008 * max(float(tree[0].sum()), 1.0), _SPLIT * max(sigmas))
    cells = split_cells(tree, threshold, breaks)
    return [cell for cell in cells if span[0] <= cell[0] < span[1]], breaks


def _tree(
    domain: Domain,
    nodes: Sequence[np.ndarray],
    sigmas: Sequence[float],
    span: tuple[int, int],
) -> tuple[list[np.ndarray], np.ndarray]:
    """(counts of the nodes of each level, none outside of the leaves of `span`; bool [leaves] of
    what lies in a smooth tail).
    """
    points, is_outside = domain.stops - domain.starts, np.ones(domain.leaves, bool)
    is_outside[slice(*span)] = False
    consistent = consistent_tree(nodes, sigmas)
    if is_outside.any():
        inside = tree_of(np.where(is_outside, 0.0, consistent[-1]), len(consistent))
        tree = evened_tree(inside, sigmas, np.where(is_outside, 0, points))
        return tree, np.zeros(domain.leaves, bool)
    tree = evened_tree(consistent, sigmas, points)
    if domain.column.transform != "asinh":  # declared as heavy-tailed
        return tree, np.zeros(domain.leaves, bool)
    leaves, in_tail = smooth_tails(domain, tree[-1], nodes, sigmas)
    return tree_of(leaves, len(tree)), in_tail


def _specials(levels: Sequence[np.ndarray], sigmas: Sequence[float], specials: int) -> Estimate:
    """Atoms and missing, which every level counts once: by inverse variance."""
    precision = np.array(sigmas, float) ** -2
    counts = np.stack([level[len(level) - specials :] for level in levels])
    return Estimate(
        precision @ counts / precision.sum(), np.full(specials, 1 / float(precision.sum()))
    )


def _segments(
    domain: Domain, first: int, last: int, counts: np.ndarray, in_tail: np.ndarray
) -> list[tuple[int, int, float]]:
    """Lattice ranges of leaves [first, last) without the atoms between them: (start, stop, part).
    In a tail a leaf has its part of the counts, elsewhere the points theirs.
    """
    starts, stops = domain.starts[first:last], domain.stops[first:last]
    if in_tail[first:last].all():
        part = counts[first:last].clip(min=1e-9)
    else:
        breaks = np.flatnonzero(starts[1:] != stops[:-1]) + 1
        starts, stops = starts[[0, *breaks]], stops[[*(breaks - 1), -1]]
        part = (stops - starts).astype(float)
    return list(zip(starts.tolist(), stops.tolist(), (part / part.sum()).tolist(), strict=True))


def _heap(
    domain: Domain, first: int, last: int, count: float, leaves: np.ndarray, sigma: float
) -> list[tuple[int, int, float]]:
    """A single leaf much heavier than its neighbours, with what it holds beyond their density on
    the roundest number within it; [] for others.

    People round amounts (heaping, Heitjan and Rubin 1990). Which number that is follows from the
    public grid, how much from noisy counts.
    """
    start, stop = int(domain.starts[first]), int(domain.stops[first])
    width = stop - start
    beside = [place for place in (first - 1, last) if 0 <= place < len(leaves)]
    if last - first != 1 or width < 2 or not beside or domain.column.kind != "continuous":
        return []
    density = sum(max(float(leaves[place]), 0.0) for place in beside) / sum(
        int(domain.stops[place] - domain.starts[place]) for place in beside
    )
    beyond = count - density * width
    point, step = _roundest(domain, start, stop)
    # in a wide leaf a round number stands by chance
    if beyond < max(4 * sigma, 0.5 * count) or 2 * width > step:
        return []
    even = (1 - beyond / count) / width
    ranges = [
        (start, point, even * (point - start)),
        (point, point + 1, beyond / count + even),
        (point + 1, stop, even * (stop - point - 1)),
    ]
    return [(low, high, part) for low, high, part in ranges if high > low]


def _roundest(domain: Domain, start: int, stop: int) -> tuple[int, int]:
    """(lattice point in [start, stop), its step): its value is a multiple of the largest possible
    of 1, 2, 5, 10, 20, 50, ... lattice steps.
    """
    assert domain.column.lower is not None
    origin = round(domain.column.lower * 10.0**domain.column.decimals)
    power = 10 ** len(str(max(abs(origin + start), abs(origin + stop))))
    while True:
        for step in (power, power // 2, power // 5):
            multiple = -(-(origin + start) // max(step, 1)) * max(step, 1)
            if multiple < origin + stop:
                return multiple - origin, max(step, 1)
        power //= 10


def category_grouping(domain: Domain, cells: Estimate, most: int) -> Grouping:
    """Groups of a categorical column: categories above max(3 standard deviations, .002 n) alone, at
    most `most` groups, the rest together.

    cells: estimate of each category's count.
    """
    counts, deviations = cells.counts, np.sqrt(cells.variances)
    total = max(float(counts.sum()), 1.0)
    order = np.argsort(-counts, kind="stable")
    alone = [int(c) for c in order if counts[c] >= max(3 * deviations[c], 0.002 * total)]
    if len(alone) < domain.size or len(alone) > most:
        alone = alone[: most - 1]
    if len(alone) == domain.size - 1:
        # a group of one rare category loses nothing by standing alone
        alone = [int(c) for c in order]
    group = np.full(domain.size, len(alone), np.int64)
    group[alone] = np.arange(len(alone))
    rest = group == len(alone)
    share = np.ones(domain.size)
    if rest.any():
        share[rest] = _shares_of_rare(counts[rest], cells.variances[rest])
    none = np.zeros(domain.size, np.int64)
    missing = np.zeros(domain.size, bool)
    missing[domain.size - int(domain.column.nullable) :] = domain.column.nullable
    symbols = Symbols(
        group=group,
        share=share,
        start=none,
        stop=none,
        atom=np.full(domain.size, -1),
        missing=missing,
    )
    return Grouping(group.astype(np.int32), symbols.normalised(), n_merged=int(rest.sum()))


def _shares_of_rare(counts: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Shares of the categories that noise hides, within their group: differences from an even share
    shrunk by the noise (James and Stein 1961), none at 0.
    """
    mean = max(float(counts.mean()), 1e-3)
    energy = float(((counts - mean) ** 2).sum())
    share_left = max(0.0, 1 - (len(counts) - 1) * float(variances.mean()) / max(energy, 1e-9))
    shares = np.maximum(mean + share_left * (counts - mean), 1e-3 * mean)
    return np.asarray(shares / shares.sum())


def on_simplex(counts: np.ndarray, total: float) -> np.ndarray:
    """The nearest vector >= 0 that sums to `total`, float64 of the shape of counts (projection onto
    the simplex, Duchi et al. 2008, figure 1). total: above 0.
    """
    ordered = np.sort(counts)[::-1]
    over = (np.cumsum(ordered) - total) / np.arange(1, len(counts) + 1)
    last = int(np.flatnonzero(ordered - over > 0)[-1])
    return np.maximum(counts - over[last], 0.0)
