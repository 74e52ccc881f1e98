"""From noisy counts to targets for the generator: consistent margins, pairs with the noise shrunk out of them. Post-processing only."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.models.table.bins import on_simplex
from pipeline.models.table.legality import Relations
from pipeline.models.table.measure import Measured


@dataclass(frozen=True, eq=False)
class Targets:
    """Probabilities that the generator is fitted to, and how much each block is worth (1 / variance of a probability)."""

    size: float                                          # number of patients, from noisy sums
    margins: dict[str, np.ndarray]                       # float64 [groups], sums to 1
    pairs: dict[tuple[str, str], np.ndarray]             # float64 [groups a, groups b], sums to 1
    pair_weights: dict[tuple[str, str], float]
    pivots: dict[tuple[str, str, str], np.ndarray]       # float64 [classes, groups a, groups b], sums to 1
    pivot_weights: dict[tuple[str, str, str], float]
    margin_weights: dict[str, float]
    independent: int                                     # pairs in which nothing rose above the noise


def targets(measured: Measured, allowed: Relations) -> Targets:
    """`allowed`: group pairs that the declared implications leave possible; the others are known to be empty."""
    estimates = _margin_estimates(measured)
    size = _size(measured)
    margins = {name: on_simplex(value, size) / size for name, (value, _) in estimates.items()}
    pairs, weights, independent = {}, {}, 0
    for (a, b), noisy in measured.pairs.items():
        sigma = measured.sigmas[f"pair/{a}/{b}"]
        expected = np.outer(margins[a], margins[b])
        residual, rank = shrunk_residual(noisy - size * expected, sigma)
        independent += rank == 0
        pairs[a, b] = _possible(expected + residual / size, allowed.get((a, b)))
        weights[a, b] = (size / sigma) ** 2
    pivots, pivot_weights = {}, {}
    for (t, a, b), block in measured.pivots.items():
        sigma = measured.sigmas[f"pivot/{t}/{a}/{b}"]
        classes = []
        for place, noisy in enumerate(block):
            p = max(float(margins[t][place]), 1e-9)
            rows, columns = _slice(pairs, t, a, place), _slice(pairs, t, b, place)
            expected = np.outer(np.maximum(rows, 0), np.maximum(columns, 0)) / p
            residual, _ = shrunk_residual(noisy - size * expected, sigma)
            classes.append(_possible(expected + residual / size, allowed.get((a, b))))
        pivots[t, a, b] = np.stack(classes)
        pivot_weights[t, a, b] = (size / sigma) ** 2
    return Targets(size=size, margins=margins, pairs=pairs, pair_weights=weights, pivots=pivots, pivot_weights=pivot_weights,
                   margin_weights={name: size**2 / variance for name, (_, variance) in estimates.items()}, independent=independent)


def shrunk_residual(residual: np.ndarray, sigma: float) -> tuple[np.ndarray, int]:
    """(dependence, rank): counts less those of independent columns, double-centred, with singular values shrunk for known noise.

    Gavish and Donoho 2017 (arxiv.org/abs/1405.7511), equation 7, Frobenius loss; the noise of double-centred counts has
    (rows - 1) x (columns - 1) free dimensions. Rank 0: nothing rises above the noise.
    """
    rows, columns = residual.shape
    if rows < 2 or columns < 2:
        return np.zeros(residual.shape), 0
    centred = residual - residual.mean(0) - residual.mean(1, keepdims=True) + residual.mean()
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    small, large = sorted((rows - 1, columns - 1))
    unit, beta = sigma * np.sqrt(large), small / large
    scaled = values / unit
    kept = np.where(scaled > 1 + np.sqrt(beta), np.sqrt(np.maximum((scaled**2 - beta - 1) ** 2 - 4 * beta, 0)) / np.maximum(scaled, 1e-9), 0)
    return (left * (kept * unit)) @ right, int((kept > 0).sum())


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
        sigma = measured.sigmas[f"pair/{a}/{b}"]
        for name, axis in ((a, 1), (b, 0)):
            weight = 1 / (noisy.shape[axis] * sigma**2)
            sums[name] = sums[name] + noisy.sum(axis) * weight
            weights[name] = weights[name] + weight
    return {name: (sums[name] / weights[name], float((1 / weights[name]).mean())) for name in sums}


def _size(measured: Measured) -> float:
    """How many patients, from the sums of all blocks, by inverse variance; at least 1."""
    found, weight = 0.0, 0.0
    blocks: list[tuple[np.ndarray, str]] = [(noisy, f"one/{name}") for name, noisy in measured.one_ways.items()]
    blocks += [(noisy, f"pair/{a}/{b}") for (a, b), noisy in measured.pairs.items()]
    blocks += [(noisy, f"pivot/{t}/{a}/{b}") for (t, a, b), noisy in measured.pivots.items()]
    for noisy, name in blocks:
        one = 1 / (noisy.size * measured.sigmas[name] ** 2)
        found, weight = found + one * float(noisy.sum()), weight + one
    return max(found / weight, 1.0)


def _slice(pairs: Mapping[tuple[str, str], np.ndarray], target: str, column: str, place: int) -> np.ndarray:
    """Joint probability of class `place` with each group of a column."""
    return pairs[target, column][place] if (target, column) in pairs else pairs[column, target][:, place]


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
