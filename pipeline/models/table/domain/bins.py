"""From noisy counts over public cells to the groups that the model works on. Free: no row is read
here.

A numeric column's tree is made consistent (Hay, Rastogi, Miklau, Suciu 2010,
arxiv.org/abs/0904.0942), split where its noisy counts are large enough to be believed, and its
cells are merged into at most `bins` groups. Categories too rare to tell from noise share one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.models.table.domain.encode import BRANCHING, Domain
from pipeline.models.table.values.symbols import Grouping, Symbols


def consistent_tree(levels: Sequence[np.ndarray], sigmas: Sequence[float]) -> list[np.ndarray]:
    """Consistency (Hay et al. 2010, section 4): the least-squares counts of nodes in which children
    sum to their parent, float64 [nodes] per level.

    levels: noisy counts [nodes], from below the root to the leaves. sigmas: standard deviation of
    each level's noise.
    """
    values = [level.astype(float) for level in levels]
    variances = [sigma**2 for sigma in sigmas]
    # up: each node and the sum of its children tell the same number
    for depth in range(len(values) - 2, -1, -1):
        children = _sums(values[depth + 1], len(values[depth]))
        spread = BRANCHING * variances[depth + 1]
        weight = spread / (spread + variances[depth])
        values[depth] = weight * values[depth] + (1 - weight) * children
        variances[depth] = weight * variances[depth]
    # down: what the parent has too much or too little goes to the children evenly
    for depth in range(1, len(values)):
        fan = _sums(np.ones_like(values[depth]), len(values[depth - 1]))
        missing = (values[depth - 1] - _sums(values[depth], len(values[depth - 1]))) / fan
        values[depth] = values[depth] + np.repeat(missing, BRANCHING)[: len(values[depth])]
    return values


def _sums(children: np.ndarray, parents: int) -> np.ndarray:
    padded = np.zeros(parents * BRANCHING)
    padded[: len(children)] = children
    return padded.reshape(parents, BRANCHING).sum(1)


def split_cells(levels: Sequence[np.ndarray], threshold: float) -> list[tuple[int, int, float]]:
    """Terminal cells of the tree in order, as (first leaf, one past the last, count >= 0): a node
    whose count, in patients, is above the threshold is split.
    """
    cells: list[tuple[int, int, float]] = []
    leaves, depth = len(levels[-1]), len(levels)

    def visit(level: int, place: int, count: float) -> None:
        if level < depth and (level == 0 or count > threshold):
            below = levels[level]
            for child in range(place * BRANCHING, min((place + 1) * BRANCHING, len(below))):
                visit(level + 1, child, float(below[child]))
            return
        width = BRANCHING ** (depth - level)
        cells.append((place * width, min((place + 1) * width, leaves), max(count, 0.0)))

    visit(0, 0, np.inf)
    return cells


def merge_cells(counts: np.ndarray, most: int) -> np.ndarray:
    """Bin of each cell, int64 [cells]: neighbours up to an equal share of the patients, a heavy
    cell alone, at most `most` bins. counts: at least 0, [cells] in order.
    """
    limit = max(counts.sum(), 1e-9) / most
    while True:
        bins, mass, current = np.zeros(len(counts), np.int64), 0.0, 0
        for place, count in enumerate(counts):
            if place and (mass + 0.5 * count > limit or count >= limit or mass >= limit):
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
) -> Grouping:
    """At most `most` bins of a numeric column, and its specials.

    levels: noisy counts of each level, nodes first, then atoms and missing (the same cells at every
        level). sigmas: standard deviation of each level's noise. most: bins at most. heaps: look
        for round numbers.
    """
    specials = domain.size - domain.leaves
    tree = consistent_tree([level[: len(level) - specials] for level in levels], sigmas)
    total = max(float(tree[0].sum()), 1.0)
    terminal = split_cells(tree, max(0.008 * total, 4 * max(sigmas)))
    counts = np.array([count for _, _, count in terminal])
    bins = merge_cells(counts, most)
    of_cell = np.empty(domain.size, np.int32)
    group, share, start, stop = [], [], [], []
    for place, (first, last, count) in enumerate(terminal):
        of_cell[first:last] = bins[place]
        heap = _heap(domain, first, last, count, tree[-1], sigmas[-1]) if heaps else []
        for low, high, part in heap or _segments(domain, first, last):
            group.append(bins[place])
            share.append((count + 1e-9) * part)
            start.append(low)
            stop.append(high)
    base = int(bins[-1]) + 1
    of_cell[domain.leaves :] = base + np.arange(specials)
    atoms = np.concatenate(
        [np.full(len(group), -1), np.arange(len(domain.atoms)), [-1] * int(domain.column.nullable)]
    ).astype(np.int64)
    missing = np.zeros(len(group) + specials, bool)
    missing[len(missing) - int(domain.column.nullable) :] = domain.column.nullable
    none = [0] * specials
    symbols = Symbols(
        group=np.array([*group, *range(base, base + specials)], np.int64),
        share=np.array([*share, *[1.0] * specials]),
        start=np.array([*start, *none], np.int64),
        stop=np.array([*stop, *none], np.int64),
        atom=atoms,
        missing=missing,
    )
    return Grouping(of_cell, symbols.normalised(), n_merged=0)


def _segments(domain: Domain, first: int, last: int) -> list[tuple[int, int, float]]:
    """Lattice ranges of leaves [first, last) without the atoms between them: (start, stop, part of
    the points).
    """
    starts, stops = domain.starts[first:last], domain.stops[first:last]
    breaks = np.flatnonzero(starts[1:] != stops[:-1]) + 1
    lows, highs = starts[[0, *breaks]], stops[[*(breaks - 1), -1]]
    points = (highs - lows).astype(float)
    return list(zip(lows.tolist(), highs.tolist(), (points / points.sum()).tolist(), strict=True))


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


def category_grouping(domain: Domain, noisy: np.ndarray, sigma: float, most: int) -> Grouping:
    """Groups of a categorical column: categories above max(3 sigma, .002 n) alone, at most `most`
    groups, the rest together.

    noisy: counts [cells]. sigma: standard deviation of their noise.
    """
    total = max(float(noisy.sum()), 1.0)
    order = np.argsort(-noisy, kind="stable")
    alone = [int(c) for c in order if noisy[c] >= max(3 * sigma, 0.002 * total)]
    if len(alone) < domain.size or len(alone) > most:
        alone = alone[: most - 1]
    if len(alone) == domain.size - 1:
        # a group of one rare category loses nothing by standing alone
        alone = [int(c) for c in order]
    group = np.full(domain.size, len(alone), np.int64)
    group[alone] = np.arange(len(alone))
    n_merged = domain.size - len(alone)
    share = on_simplex(noisy.astype(float), total)
    rest = group == len(alone)
    if n_merged:
        # noise hides which of the rare ones are there: their proportions come from the group's own
        # simplex
        share[rest] = (
            on_simplex(noisy[rest].astype(float), max(float(noisy[rest].sum()), sigma))
            + 1e-3 * sigma / n_merged
        )
    share[~rest] = 1.0
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
    return Grouping(group.astype(np.int32), symbols.normalised(), n_merged=n_merged)


def on_simplex(counts: np.ndarray, total: float) -> np.ndarray:
    """The nearest vector >= 0 that sums to `total`, float64 of the shape of counts (projection onto
    the simplex, Duchi et al. 2008, figure 1). total: above 0.
    """
    ordered = np.sort(counts)[::-1]
    over = (np.cumsum(ordered) - total) / np.arange(1, len(counts) + 1)
    last = int(np.flatnonzero(ordered - over > 0)[-1])
    return np.maximum(counts - over[last], 0.0)
