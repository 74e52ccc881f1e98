"""From noisy counts to the marginals that the generator is fitted to: consistent margins, and pairs
with the noise shrunk out of them. Post-processing only.
"""

from __future__ import annotations

import numpy as np

from pipeline.models.table.domain.bins import on_simplex
from pipeline.models.table.measure.shrinkage import shrunk_residual
from pipeline.models.table.values.measurements import Marginals, Measurements
from pipeline.models.table.values.symbols import Pair, Relations


def denoise(measurements: Measurements, legal: Relations, *, shrink: bool = True) -> Marginals:
    """Probabilities out of noisy counts, with the weight of each.

    legal: bool [groups a, groups b] for pairs of columns that declared implications relate; the
    other cells are known to be empty. shrink: take noise out of pairs.
    """
    estimates = _margin_estimates(measurements)
    size = _size(measurements)
    margins = {name: on_simplex(value, size) / size for name, (value, _) in estimates.items()}
    coarse, coarse_weights, independent = _coarse_pairs(measurements, margins, size, shrink)
    pairs, pair_weights = _fine_pairs(measurements, margins, coarse, legal, size, shrink)
    return Marginals(
        size=size,
        margins=margins,
        coarse_groups=measurements.coarse_groups,
        coarse=coarse,
        coarse_weights=coarse_weights,
        pairs=pairs,
        pair_weights=pair_weights,
        margin_weights={name: size**2 / variance for name, (_, variance) in estimates.items()},
        independent=independent,
    )


def _coarse_pairs(
    measurements: Measurements, margins: dict[str, np.ndarray], size: float, shrink: bool
) -> tuple[dict[Pair, np.ndarray], dict[Pair, float], int]:
    """(joint of coarse groups, weight, how many pairs are drawn independently) of every pair."""
    coarse_margins = {
        name: np.bincount(groups, margins[name])
        for name, groups in measurements.coarse_groups.items()
    }
    joints, weights, independent = {}, {}, 0
    for (a, b), noisy in measurements.coarse.items():
        sigma = measurements.sigmas[f"coarse/{a}/{b}"]
        expected = np.outer(coarse_margins[a], coarse_margins[b])
        residual, rank = _residual(noisy - size * expected, sigma, shrink)
        independent += rank == 0
        joints[a, b] = expected + residual / size
        weights[a, b] = (size / sigma) ** 2
    return joints, weights, independent


def _fine_pairs(
    measurements: Measurements,
    margins: dict[str, np.ndarray],
    coarse: dict[Pair, np.ndarray],
    legal: Relations,
    size: float,
    shrink: bool,
) -> tuple[dict[Pair, np.ndarray], dict[Pair, float]]:
    """(joint of groups, weight) of each pair with fine counts: what the coarse joint leads to
    expect, and the shrunk residual from it.
    """
    joints, weights = {}, {}
    for (a, b), noisy in measurements.pairs.items():
        sigma = measurements.pair_sigmas[a, b]
        expected = _refined(
            np.maximum(coarse[a, b], 0.0),
            (measurements.coarse_groups[a], measurements.coarse_groups[b]),
            (margins[a], margins[b]),
        )
        residual, _ = _residual(noisy - size * expected, sigma, shrink)
        joints[a, b] = _without_forbidden(expected + residual / size, legal.get((a, b)))
        weights[a, b] = (size / sigma) ** 2
    return joints, weights


def _residual(residual: np.ndarray, sigma: float, shrink: bool) -> tuple[np.ndarray, int]:
    return shrunk_residual(residual, sigma) if shrink else (residual, min(residual.shape))


def _refined(
    coarse: np.ndarray,
    coarse_groups: tuple[np.ndarray, np.ndarray],
    margins: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """A coarse joint over fine groups, each coarse cell divided by its groups' margins: what a pair
    is expected to be without fine counts.
    """
    parts = [
        margin / np.maximum(np.bincount(groups, margin)[groups], 1e-12)
        for groups, margin in zip(coarse_groups, margins, strict=True)
    ]
    return coarse[np.ix_(*coarse_groups)] * np.outer(*parts)


def _margin_estimates(measurements: Measurements) -> dict[str, tuple[np.ndarray, float]]:
    """Counts of each column's groups from its own block and from all pairs it is in, by inverse
    variance; with the mean variance.
    """
    sums: dict[str, np.ndarray] = {}
    weights: dict[str, np.ndarray] = {}
    for name, noisy in measurements.one_ways.items():
        grouping, sigma = measurements.groupings[name], measurements.sigmas[f"one/{name}"]
        is_by_cell = len(noisy) == len(grouping.of_cell)
        groups = grouping.of_cell if is_by_cell else np.arange(len(noisy))
        members = np.bincount(groups, minlength=grouping.groups)
        weights[name] = 1 / (members * sigma**2)
        sums[name] = (
            np.bincount(groups, noisy.astype(float), minlength=grouping.groups) * weights[name]
        )
    for (a, b), noisy in measurements.pairs.items():
        sigma = measurements.pair_sigmas[a, b]
        for name, axis in ((a, 1), (b, 0)):
            weight = 1 / (noisy.shape[axis] * sigma**2)
            sums[name] = sums[name] + noisy.sum(axis) * weight
            weights[name] = weights[name] + weight
    return {name: (sums[name] / weights[name], float((1 / weights[name]).mean())) for name in sums}


def _size(measurements: Measurements) -> float:
    """How many patients, from the sums of all blocks, by inverse variance; at least 1."""
    total, weight = 0.0, 0.0
    sigmas = measurements.sigmas
    blocks = [(noisy, sigmas[f"one/{name}"]) for name, noisy in measurements.one_ways.items()]
    blocks += [
        (noisy, measurements.pair_sigmas[pair]) for pair, noisy in measurements.pairs.items()
    ]
    blocks += [(noisy, sigmas[f"coarse/{a}/{b}"]) for (a, b), noisy in measurements.coarse.items()]
    for noisy, sigma in blocks:
        precision = 1 / (noisy.size * sigma**2)
        total, weight = total + precision * float(noisy.sum()), weight + precision
    return max(total / weight, 1.0)


def _without_forbidden(joint: np.ndarray, legal: np.ndarray | None) -> np.ndarray:
    """Forbidden cells emptied, rows and columns kept (iterative proportional fitting over the legal
    cells, clipped at 0; Deming and Stephan 1940).

    Where nothing is forbidden the joint stays as it is, small negative cells too: clipping them
    would bias the fit.
    """
    if legal is None or legal.all():
        return joint
    rows, columns = np.maximum(joint.sum(1), 0.0), np.maximum(joint.sum(0), 0.0)
    cells = np.where(legal, np.maximum(joint, 0.0) + 1e-3 * np.outer(rows, columns), 0.0)
    for _ in range(50):
        cells = cells * (rows / np.maximum(cells.sum(1), 1e-12))[:, None]
        cells = cells * (columns / np.maximum(cells.sum(0), 1e-12))
    return cells
