"""Dependence of two columns out of noisy counts: residuals from independence, with the known noise
shrunk out of them.
"""

from __future__ import annotations

import numpy as np

from pipeline.models.table.values.measurements import Estimate

_DOUBT = 2.0  # log likelihood by which counts must stray from a table to be let
# how true counts may stray from published ones: all alike, as parts of all patients; as the root of
# what is published, as samples do; in proportion to it
_EVEN = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_ROOTED = (0.02, 0.05, 0.1, 0.2, 0.4)
_RELATIVE = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_DENIED = 12.0  # log likelihood by which noisy counts must speak against a known table


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


def towards(
    estimate: Estimate, shares: np.ndarray, covered: np.ndarray, weight: float
) -> tuple[Estimate, bool]:
    """(the estimate shrunk towards published shares, whether its counts deny them).

    shares: float64 [cells], sum 1 over the covered cells. covered: bool [cells], what the table
    speaks of. weight: how many patients the table is worth at most.

    Empirical Bayes (Efron and Morris 1973): true counts stray from the published ones by
    sqrt(a^2 + b^2 x published + (c x published)^2); a or b, and c, are those under which the noisy
    counts are likeliest, at least what `weight` patients would stray. A table of another population
    strays far, and the noisy counts then decide.
    """
    counts, noise = estimate.counts[covered], estimate.variances[covered]
    if covered.sum() < 2:
        return estimate, False
    size = max(float(counts.sum()), 1.0)
    published = size * shares[covered]
    strays, gain = likeliest_strays(counts, noise, published, size, weight)
    pull = noise / (noise + strays)
    posterior = Estimate(estimate.counts.copy(), estimate.variances.copy())
    posterior.counts[covered] = (1 - pull) * counts + pull * published
    posterior.variances[covered] = (1 - pull) * noise
    return posterior, gain > _DENIED


def likeliest_strays(
    counts: np.ndarray,
    noise: np.ndarray,
    published: np.ndarray,
    size: float,
    weight: float,
) -> tuple[np.ndarray, float]:
    """(variance of the true counts about the published ones, log likelihood by which the noisy
    counts prefer it to the least variance), all float64 [cells].

    size: patients. weight: how many of them the table is worth at most. Where that log
    likelihood is below `_DOUBT`, the least variance stays.
    """
    shares = published / size
    least = size**2 * (shares + 0.5 / weight) / weight
    likeliest, most = least, -np.inf
    additional: list[np.ndarray | float] = [0.0, *((size * part) ** 2 for part in _EVEN)]
    additional += [root**2 * size * published for root in _ROOTED]
    for more in additional:
        for relative in _RELATIVE:
            variance = np.asarray(least + (relative * published) ** 2 + more)
            likelihood = _log_likelihood(counts - published, noise + variance)
            if likelihood > most:
                likeliest, most = variance, likelihood
    plain = _log_likelihood(counts - published, noise + least)
    return likeliest if most - plain >= _DOUBT else least, most - plain


def _log_likelihood(difference: np.ndarray, variance: np.ndarray) -> float:
    """Of normal differences, without its constant."""
    return float(-0.5 * (np.log(variance) + difference**2 / variance).sum())


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
