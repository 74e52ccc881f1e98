"""Dependence of two columns out of noisy counts: residuals from independence, with the known noise
shrunk out of them.
"""

from __future__ import annotations

import numpy as np


def shrunk_residual(residual: np.ndarray, sigma: float) -> tuple[np.ndarray, int]:
    """(dependence, rank): counts less those of independent columns, double-centred, with singular
    values shrunk for known noise; float64 [a, b].

    residual: [a, b]. sigma: standard deviation of the noise in each cell. Gavish and Donoho 2017
    (arxiv.org/abs/1405.7511), equation 7, Frobenius loss; the noise of double-centred counts has
    (rows - 1) x (columns - 1) free dimensions. Rank 0: nothing rises above the noise.
    """
    rows, columns = residual.shape
    if rows < 2 or columns < 2:
        return np.zeros(residual.shape), 0
    double_centred = residual - residual.mean(0) - residual.mean(1, keepdims=True) + residual.mean()
    left, values, right = np.linalg.svd(double_centred, full_matrices=False)
    small, large = sorted((rows - 1, columns - 1))
    unit, beta = sigma * np.sqrt(large), small / large
    scaled = values / unit
    shrunk = np.where(
        scaled > 1 + np.sqrt(beta),
        np.sqrt(np.maximum((scaled**2 - beta - 1) ** 2 - 4 * beta, 0)) / np.maximum(scaled, 1e-9),
        0,
    )
    return (left * (shrunk * unit)) @ right, int((shrunk > 0).sum())


def residual(noisy: np.ndarray) -> np.ndarray:
    """Counts [a, b] less what independent columns with the same noisy margins would give."""
    rows, columns, total = (
        np.maximum(noisy.sum(1), 0.0),
        np.maximum(noisy.sum(0), 0.0),
        max(float(noisy.sum()), 1.0),
    )
    return noisy - np.outer(rows, columns) / total


def excess_energy(noisy: np.ndarray, sigma: float) -> float:
    """Squared residual above what noise alone would give, in patients squared: how much there is to
    learn about the pair.
    """
    free = max((noisy.shape[0] - 1) * (noisy.shape[1] - 1), 0)
    return float((residual(noisy) ** 2).sum()) - free * sigma**2


def association(noisy: np.ndarray, sigma: float) -> float:
    """Chi-square over patients of the shrunk dependence: how much the rows' column tells about the
    columns' one. At least 0.
    """
    rows, columns, total = (
        np.maximum(noisy.sum(1), 0.0),
        np.maximum(noisy.sum(0), 0.0),
        max(float(noisy.sum()), 1.0),
    )
    dependence, rank = shrunk_residual(residual(noisy), sigma)
    if rank == 0:
        return 0.0
    expected = np.outer(rows, columns) / total
    return float((dependence**2 / np.maximum(expected, 2 * sigma)).sum() / total)
