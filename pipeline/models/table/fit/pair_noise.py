"""A pair's counts against what it is expected to be, with the known noise shrunk out.
Post-processing only.
"""

from __future__ import annotations

import numpy as np

from pipeline.models.table.domain.known import rake
from pipeline.models.table.measure.shrinkage import likeliest_strays, shrunk_residual
from pipeline.models.table.values.measurements import NoisyPair

_FEW = 500  # cells, of which noise brings none above the universal threshold: 3.5 deviations
# how much more the cells of a pair weigh of which a table speaks, and at most
_TRUST = (4.0, 60.0)


def with_counts(
    expected: np.ndarray, published: np.ndarray, pair: NoisyPair, size: float, shrink: bool
) -> tuple[np.ndarray, bool, np.ndarray | float]:
    """(joint, whether anything rises above the noise, how much more each cell is worth than its
    count) of what a pair is expected to be and of its counts, with their noise shrunk out.

    published: how many patients a table of the cell is worth, 0 for none. shrink: False leaves the
    counts as they are.

    Cells that a matrix of low rank leaves far from their counts are taken as counted (Donoho and
    Johnstone 1994, the universal threshold): that a cancer is never staged is one such cell.
    """
    if not shrink:
        return pair.counts / size, True, 1.0
    clear = np.zeros(expected.shape, bool)
    threshold = pair.sigma * np.sqrt(2 * np.log(max(expected.size, _FEW)))
    start = expected
    while True:
        residual, rank = shrunk_residual(pair.counts - size * start, pair.sigma)
        left = np.abs(pair.counts - size * start - residual)
        news = (left > threshold) & (expected > 0) & ~clear
        if not news.any():
            break
        clear |= news
        start = _with_cells(expected, clear, pair.counts / size)
    is_tied = rank > 0 or bool(clear.any())
    if not published.any():
        return start + residual / size, is_tied, 1.0
    trust = _towards_published(residual, start, np.where(clear, 0.0, published), pair, size)
    # cells that a table pulls, each by itself, no longer sum to the margins
    joint = (start + residual / size).clip(min=1e-9) * (expected > 0)
    return rake(joint, expected.sum(1), expected.sum(0)), is_tied, trust


def _towards_published(
    residual: np.ndarray, start: np.ndarray, weights: np.ndarray, pair: NoisyPair, size: float
) -> np.ndarray:
    """Where a table speaks, what its cells may stray takes the place of the low rank, in place: a
    cell that is published as rare strays by little, however loud the noise. Gives back how much
    more each cell is worth than its count, float64 [a, b].
    """
    trust = np.full(start.shape, _TRUST[0] if (weights > 0).any() else 1.0)
    for weight in np.unique(weights[weights > 0]):
        cells = weights == weight
        noise = np.full(int(cells.sum()), pair.sigma**2)
        counts, published = pair.counts[cells], size * start[cells].clip(min=0.0)
        strays, _ = likeliest_strays(counts, noise, published, size, float(weight))
        residual[cells] = strays / (strays + noise) * (counts - published)
        trust[cells] = (1 + noise / strays).clip(*_TRUST)
    return trust


def _with_cells(expected: np.ndarray, fixed: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The joint with the margins of `expected` in which the fixed cells have these shares."""
    rows, columns = expected.sum(1), expected.sum(0)
    certain = np.where(fixed, shares.clip(min=0.0), 0.0)
    for axis, margin in ((1, rows), (0, columns)):
        over = certain.sum(axis, keepdims=True) / np.expand_dims(np.maximum(margin, 1e-300), axis)
        certain = certain / np.maximum(over, 1.0)
    rest = (
        1e-9 + (rows - certain.sum(1)).clip(min=0.0),
        1e-9 + (columns - certain.sum(0)).clip(min=0.0),
    )
    total = float(rest[0].sum())
    others = np.where(fixed, 0.0, expected + (expected > 0) * 1e-12)
    return certain + rake(others, rest[0], rest[1] * total / float(rest[1].sum()))
