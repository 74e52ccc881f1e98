"""The tails of a heavy-tailed number, where a leaf of the grid holds less than its noise: by the
smooth law that all counts of a tail tell together. Free: no row is read here.

Without it the last bin is drawn evenly up to the declared bound, often ten times as far as anybody
reaches, or ends where noise hides the last few; a standard deviation or a Pearson correlation then
says nothing. Beyond a high threshold most tails are generalised Pareto (Pickands 1975, Annals of
Statistics 3, 119-131); here the law ends at the bound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.models.table.domain.encode import BRANCHING, Domain

_SHARE, _MOST = 0.02, 0.05  # of all people that a tail holds at least, and at most
_CLEAR = 6.0  # standard deviations of noise that it holds at least
_STANDS_OUT = 5.0  # standard deviations by which a node is no part of a smooth tail
_LEAVES = 6  # fewer tell no law
# A weak prior on the law's shape, as Coles and Dixon 1999 (Extremes 2, 5-23) penalise shapes near
# 1: by noise alone a tail would reach the bound.
_SHAPE, _SPREAD = 0.2, 0.2
_SHAPES = np.linspace(-0.4, 1.0, 29)
_SCALES = 60


def smooth_tails(
    domain: Domain, counts: np.ndarray, levels: Sequence[np.ndarray], sigmas: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """(counts of the leaves with smooth tails, whether a leaf is in one), float64 and bool
    [leaves].

    counts: as evened out, in patients. levels: noisy counts of the nodes of each level, from below
    the root to the leaves. sigmas: standard deviation of each level's noise.
    """
    smooth, in_tail = counts.copy(), np.zeros(len(counts), bool)
    least = max(_SHARE * float(counts.sum()), _CLEAR * max(sigmas))
    if least > _MOST * float(counts.sum()):
        return smooth, in_tail  # what rises above the noise is no tail any more
    upper = slice(_length(counts, least), len(counts))
    lower = slice(0, len(counts) - _length(counts[::-1], least))
    inner = int(domain.starts[upper.start]), int(domain.stops[lower.stop - 1])
    for tail, lows, highs in (
        (upper, domain.starts[upper] - inner[0], domain.stops[upper] - inner[0]),
        (lower, inner[1] - domain.stops[lower], inner[1] - domain.starts[lower]),
    ):
        if tail.stop - tail.start < _LEAVES or in_tail[tail].any():
            continue
        law = _law(tail, float(counts[tail].sum()), (lows, highs), levels, sigmas)
        if law is not None:
            smooth[tail], in_tail[tail] = law, True
    return smooth, in_tail


def _length(counts: np.ndarray, least: float) -> int:
    """The last leaf from which on there are at least so many patients; 0 where there never are."""
    enough = np.flatnonzero(np.cumsum(counts[::-1])[::-1] >= least)
    return int(enough[-1]) if len(enough) else 0


def _law(
    tail: slice,
    patients: float,
    distances: tuple[np.ndarray, np.ndarray],
    levels: Sequence[np.ndarray],
    sigmas: Sequence[float],
) -> np.ndarray | None:
    """Counts of the tail's leaves by the law nearest to all its nodes, float64; None where one of
    them stands out: a heap, or a value at which a source cuts off.

    distances: lattice points between the tail's beginning and each leaf's ends, (near, far).
    """
    far = float(distances[1].max())
    scales = np.geomspace(max(float(distances[1].min()), 1e-3 * far), far, _SCALES)
    shape, scale = (axis.reshape(-1, 1) for axis in np.meshgrid(_SHAPES, scales))
    expected = patients * _masses(distances, shape, scale)
    sums = np.zeros((len(expected), len(levels[-1])))
    sums[:, tail] = expected
    misfit = ((shape[:, 0] - _SHAPE) / _SPREAD) ** 2
    largest = np.zeros(len(expected))
    first, stop = tail.start, tail.stop
    for level, sigma in zip(reversed(levels), reversed(sigmas), strict=True):
        gap = (level[first:stop] - sums[:, first:stop]) ** 2 / (sigma**2 + sums[:, first:stop])
        misfit += gap.sum(1)
        largest = np.maximum(largest, gap.max(1, initial=0.0))
        # of the next level the nodes that lie in the tail as a whole
        is_last = stop == sums.shape[1]
        first = -(-first // BRANCHING)
        stop = -(-stop // BRANCHING) if is_last else stop // BRANCHING
        padding = -sums.shape[1] % BRANCHING
        sums = np.pad(sums, ((0, 0), (0, padding))).reshape(len(sums), -1, BRANCHING).sum(2)
    best = int(np.argmin(misfit))
    return None if largest[best] > _STANDS_OUT**2 else np.asarray(expected[best])


def _masses(
    distances: tuple[np.ndarray, np.ndarray], shape: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Share of each leaf in each law, float64 [laws, leaves]. shape, scale: [laws, 1]."""
    curved = np.where(np.abs(shape) < 1e-9, 1e-9, shape)

    def beyond(points: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            log = np.log(np.maximum(1 + curved * points / scale, 0.0))
        return np.asarray(np.exp(-log / curved))

    near, far = distances
    mass = np.maximum(beyond(near) - beyond(far), 0.0)
    return np.asarray(mass / mass.sum(1, keepdims=True))
