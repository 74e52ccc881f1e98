"""From noisy counts to targets for the generator: consistent margins, pairs with the noise shrunk
out of them. Post-processing only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.models.table.domain.bins import on_simplex
from pipeline.models.table.domain.legality import Relations
from pipeline.models.table.measure.measure import Measured
from pipeline.models.table.measure.shrink import shrunk_residual


@dataclass(frozen=True, eq=False)
class Targets:
    """Probabilities that the generator is fitted to, and how much each block is worth (1 / variance
    of a probability).
    """

    size: float  # number of patients, from noisy sums
    margins: dict[str, np.ndarray]  # float64 [groups], sums to 1
    # int64 [groups], coarse group of each group
    merged: dict[str, np.ndarray]
    # float64 [coarse a, coarse b], every pair, sums to 1
    coarse: dict[tuple[str, str], np.ndarray]
    coarse_weights: dict[tuple[str, str], float]
    # float64 [groups a, groups b], pairs with a fine look, sums to 1
    pairs: dict[tuple[str, str], np.ndarray]
    pair_weights: dict[tuple[str, str], float]
    margin_weights: dict[str, float]
    # pairs in which nothing rose above the noise
    independent: int


def targets(measured: Measured, allowed: Relations, *, shrink: bool = True) -> Targets:
    """`allowed`: group pairs that the declared implications leave possible; the others are known to
    be empty. shrink: take noise out of pairs.
    """
    estimates = _margin_estimates(measured)
    size = _size(measured)
    margins = {name: on_simplex(value, size) / size for name, (value, _) in estimates.items()}
    rough = {name: np.bincount(merged, margins[name]) for name, merged in measured.merged.items()}
    coarse, coarse_weights, pairs, weights, independent = {}, {}, {}, {}, 0
    for (a, b), noisy in measured.coarse.items():
        sigma = measured.sigmas[f"coarse/{a}/{b}"]
        expected = np.outer(rough[a], rough[b])
        residual, rank = _residual(noisy - size * expected, sigma, shrink)
        independent += rank == 0
        coarse[a, b] = expected + residual / size
        coarse_weights[a, b] = (size / sigma) ** 2
    for (a, b), noisy in measured.pairs.items():
        sigma = measured.pair_sigmas[a, b]
        expected = _spread(
            np.maximum(coarse[a, b], 0.0),
            (measured.merged[a], measured.merged[b]),
            (margins[a], margins[b]),
        )
        residual, _ = _residual(noisy - size * expected, sigma, shrink)
        pairs[a, b] = _possible(expected + residual / size, allowed.get((a, b)))
        weights[a, b] = (size / sigma) ** 2
    margin_weights = {name: size**2 / variance for name, (_, variance) in estimates.items()}
    return Targets(
        size=size,
        margins=margins,
        merged=measured.merged,
        coarse=coarse,
        coarse_weights=coarse_weights,
        pairs=pairs,
        pair_weights=weights,
        margin_weights=margin_weights,
        independent=independent,
    )


def _residual(residual: np.ndarray, sigma: float, shrink: bool) -> tuple[np.ndarray, int]:
    return shrunk_residual(residual, sigma) if shrink else (residual, min(residual.shape))


def _spread(
    coarse: np.ndarray,
    merged: tuple[np.ndarray, np.ndarray],
    margins: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """A coarse joint over fine groups, each coarse cell by its groups' margins: what a pair is
    without a fine look.
    """
    parts = [
        margin / np.maximum(np.bincount(of, margin)[of], 1e-12)
        for of, margin in zip(merged, margins, strict=True)
    ]
    return coarse[np.ix_(*merged)] * np.outer(*parts)


def _margin_estimates(measured: Measured) -> dict[str, tuple[np.ndarray, float]]:
    """Counts of each column's groups from its own block and from all pairs it is in, by inverse
    variance; with the mean variance.
    """
    sums: dict[str, np.ndarray] = {}
    weights: dict[str, np.ndarray] = {}
    for name, noisy in measured.one_ways.items():
        grouping, sigma = measured.groupings[name], measured.sigmas[f"one/{name}"]
        whole = grouping.of_cell if len(noisy) == len(grouping.of_cell) else np.arange(len(noisy))
        members = np.bincount(whole, minlength=grouping.groups)
        weights[name] = 1 / (members * sigma**2)
        sums[name] = (
            np.bincount(whole, noisy.astype(float), minlength=grouping.groups) * weights[name]
        )
    for (a, b), noisy in measured.pairs.items():
        sigma = measured.pair_sigmas[a, b]
        for name, axis in ((a, 1), (b, 0)):
            weight = 1 / (noisy.shape[axis] * sigma**2)
            sums[name] = sums[name] + noisy.sum(axis) * weight
            weights[name] = weights[name] + weight
    return {name: (sums[name] / weights[name], float((1 / weights[name]).mean())) for name in sums}


def _size(measured: Measured) -> float:
    """How many patients, from the sums of all blocks, by inverse variance; at least 1."""
    found, weight = 0.0, 0.0
    blocks = [(noisy, measured.sigmas[f"one/{name}"]) for name, noisy in measured.one_ways.items()]
    blocks += [(noisy, measured.pair_sigmas[pair]) for pair, noisy in measured.pairs.items()]
    blocks += [
        (noisy, measured.sigmas[f"coarse/{a}/{b}"]) for (a, b), noisy in measured.coarse.items()
    ]
    for noisy, sigma in blocks:
        one = 1 / (noisy.size * sigma**2)
        found, weight = found + one * float(noisy.sum()), weight + one
    return max(found / weight, 1.0)


def _possible(joint: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
    """Forbidden cells emptied, rows and columns kept (iterative proportional fitting over the
    allowed cells, clipped at 0).

    Where nothing is forbidden the joint stays as it is, small negative cells too: clipping them
    would bias the fit.
    """
    if allowed is None or allowed.all():
        return joint
    rows, columns = np.maximum(joint.sum(1), 0.0), np.maximum(joint.sum(0), 0.0)
    kept = np.where(allowed, np.maximum(joint, 0.0) + 1e-3 * np.outer(rows, columns), 0.0)
    for _ in range(50):
        kept = kept * (rows / np.maximum(kept.sum(1), 1e-12))[:, None]
        kept = kept * (columns / np.maximum(kept.sum(0), 1e-12))
    return kept
