"""From noisy counts to targets for the generator: consistent margins, pairs with the noise shrunk out of them. Post-processing only."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.models.table.bins import on_simplex
from pipeline.models.table.legality import Relations
from pipeline.models.table.measure import Measured
from pipeline.models.table.shrink import shrunk_residual


@dataclass(frozen=True, eq=False)
class Targets:
    """Probabilities that the generator is fitted to, and how much each block is worth (1 / variance of a probability)."""

    size: float                                          # number of patients, from noisy sums
    margins: dict[str, np.ndarray]                       # float64 [groups], sums to 1
    pairs: dict[tuple[str, str], np.ndarray]             # float64 [groups a, groups b], sums to 1
    pair_weights: dict[tuple[str, str], float]
    margin_weights: dict[str, float]
    independent: int                                     # pairs in which nothing rose above the noise


def targets(measured: Measured, allowed: Relations) -> Targets:
    """`allowed`: group pairs that the declared implications leave possible; the others are known to be empty."""
    estimates = _margin_estimates(measured)
    size = _size(measured)
    margins = {name: on_simplex(value, size) / size for name, (value, _) in estimates.items()}
    pairs, weights, independent = {}, {}, 0
    for (a, b), noisy in measured.pairs.items():
        sigma = measured.pair_sigmas[a, b]
        expected = np.outer(margins[a], margins[b])
        residual, rank = shrunk_residual(noisy - size * expected, sigma)
        independent += rank == 0
        pairs[a, b] = _possible(expected + residual / size, allowed.get((a, b)))
        weights[a, b] = (size / sigma) ** 2
    return Targets(size=size, margins=margins, pairs=pairs, pair_weights=weights,
                   margin_weights={name: size**2 / variance for name, (_, variance) in estimates.items()}, independent=independent)


def _margin_estimates(measured: Measured) -> dict[str, tuple[np.ndarray, float]]:
    """Counts of each column's groups from its own block and from all pairs it is in, by inverse variance; with the mean variance."""
    sums: dict[str, np.ndarray] = {}
    weights: dict[str, np.ndarray] = {}
    for name, noisy in measured.one_ways.items():
        grouping, sigma = measured.groupings[name], measured.sigmas[f"one/{name}"]
        whole = np.arange(len(noisy)) if len(noisy) == grouping.groups and len(noisy) != len(grouping.of_cell) else grouping.of_cell
        members = np.bincount(whole, minlength=grouping.groups)
        weights[name] = 1 / (members * sigma**2)
        sums[name] = np.bincount(whole, noisy.astype(float), minlength=grouping.groups) * weights[name]
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
    for noisy, sigma in blocks:
        one = 1 / (noisy.size * sigma**2)
        found, weight = found + one * float(noisy.sum()), weight + one
    return max(found / weight, 1.0)


def _possible(joint: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
    """Forbidden cells emptied, rows and columns kept (iterative proportional fitting over the allowed cells, clipped at 0).

    Where nothing is forbidden the joint stays as it is, small negative cells too: clipping them would bias the fit.
    """
    if allowed is None or allowed.all():
        return joint
    rows, columns = np.maximum(joint.sum(1), 0.0), np.maximum(joint.sum(0), 0.0)
    kept = np.where(allowed, np.maximum(joint, 0.0) + 1e-3 * np.outer(rows, columns), 0.0)
    for _ in range(50):
        kept = kept * (rows / np.maximum(kept.sum(1), 1e-12))[:, None]
        kept = kept * (columns / np.maximum(kept.sum(0), 1e-12))
    return kept
