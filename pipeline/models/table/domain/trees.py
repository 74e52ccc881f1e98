"""A numeric column's tree of noisy counts: made consistent, evened out where nothing rises above
the noise, and split where its counts are large enough to be believed. Free: no row is read here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.models.table.domain.encode import BRANCHING

_CERTAIN = 4.0  # of its noise, at which a count is no noise: one empty node in 30,000 passes
_CLEAR = 4.0  # standard deviations by which a node differs from its siblings beyond doubt


def consistent_tree(levels: Sequence[np.ndarray], sigmas: Sequence[float]) -> list[np.ndarray]:
    """Consistency (Hay, Rastogi, Miklau, Suciu 2010, arxiv.org/abs/0904.0942, section 4): the
    least-squares counts of nodes in which children sum to their parent, float64 [nodes] per level.

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


def evened_tree(
    tree: Sequence[np.ndarray], sigmas: Sequence[float], points: np.ndarray
) -> list[np.ndarray]:
    """The tree with differences between siblings shrunk by their noise, towards an even spread over
    the points: James and Stein 1961, one factor per level, at least 0. Siblings of which one
    stands out (a round number) stay as they are.

    tree: consistent counts [nodes] per level. sigmas: of each level's noise. points: lattice points
    of each leaf, [leaves]. A date on which nobody's life depends comes out even; a level whose
    differences are far above its noise stays as it is.
    """
    widths = [points.astype(float)]
    while len(widths) < len(tree):
        widths.insert(0, _sums(widths[0], len(tree[len(tree) - len(widths) - 1])))
    parent, width = np.array([tree[0].sum()]), np.array([widths[0].sum()])
    even = parent
    evened: list[np.ndarray] = []
    for counts, points_of, sigma in zip(tree, widths, sigmas, strict=True):
        place = np.arange(len(counts)) // BRANCHING if evened else np.zeros(len(counts), int)
        share = points_of / np.maximum(width[place], 1e-9)
        difference = counts - parent[place] * share
        stands_out = np.bincount(place, np.abs(difference) > _CLEAR * sigma) > 0
        hidden = ~stands_out[place]
        free = int(hidden.sum()) - int((~stands_out).sum())
        energy = float((difference[hidden] ** 2).sum())
        factor = np.where(hidden, max(0.0, 1 - free * sigma**2 / max(energy, 1e-9)), 1.0)
        even = even[place] * share + factor * difference
        evened.append(even)
        parent, width = counts, points_of
    return evened


def tree_of(leaves: np.ndarray, depth: int) -> list[np.ndarray]:
    """Counts of the nodes of each level, float64 [nodes], from below the root to the leaves."""
    tree = [leaves]
    while len(tree) < depth:
        tree.insert(0, _sums(tree[0], -(-len(tree[0]) // BRANCHING)))
    return tree


def _sums(children: np.ndarray, parents: int) -> np.ndarray:
    padded = np.zeros(parents * BRANCHING)
    padded[: len(children)] = children
    return padded.reshape(parents, BRANCHING).sum(1)


def split_cells(
    levels: Sequence[np.ndarray], threshold: float, breaks: Sequence[int] = ()
) -> list[tuple[int, int, float]]:
    """Terminal cells of the tree in order, as (first leaf, one past the last, count >= 0): a node
    whose count, in patients, is above the threshold is split, and one with a break inside.

    breaks: leaves at which a cell must begin.
    """
    cells: list[tuple[int, int, float]] = []
    leaves, depth = len(levels[-1]), len(levels)

    def visit(level: int, place: int, count: float) -> None:
        width = BRANCHING ** (depth - level)
        is_broken = any(place * width < leaf < (place + 1) * width for leaf in breaks)
        if level < depth and (level == 0 or count > threshold or is_broken):
            below = levels[level]
            for child in range(place * BRANCHING, min((place + 1) * BRANCHING, len(below))):
                visit(level + 1, child, float(below[child]))
            return
        cells.append((place * width, min((place + 1) * width, leaves), max(count, 0.0)))

    visit(0, 0, np.inf)
    return cells


def inhabited(levels: Sequence[np.ndarray], sigmas: Sequence[float]) -> tuple[int, int]:
    """Where the values of a column lie, from noisy counts alone: leaves [first, stop). All leaves
    where nothing is certain.

    levels: noisy counts [nodes], from below the root to the leaves. sigmas: of each level's noise.
    """
    first, _ = _end(levels, sigmas, is_upper=False)
    _, stop = _end(levels, sigmas, is_upper=True)
    return first, stop


def _end(
    levels: Sequence[np.ndarray], sigmas: Sequence[float], *, is_upper: bool
) -> tuple[int, int]:
    """The leaves of the outermost node whose count is certainly no noise, level by level inwards:
    where none of a node's children is certain, the node itself.
    """
    leaves = len(levels[-1])
    nodes, end = range(len(levels[0])), (0, leaves)
    for level, (counts, sigma) in enumerate(zip(levels, sigmas, strict=True)):
        sure = [node for node in nodes if counts[node] > _CERTAIN * sigma]
        if not sure:
            break
        node = sure[-1] if is_upper else sure[0]
        width = BRANCHING ** (len(levels) - 1 - level)
        end = (node * width, min((node + 1) * width, leaves))
        below = len(levels[level + 1]) if level + 1 < len(levels) else 0
        nodes = range(node * BRANCHING, min((node + 1) * BRANCHING, below))
    return end
