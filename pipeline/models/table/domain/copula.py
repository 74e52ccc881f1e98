"""The normal copula between two columns whose values are known by group only: chances of pairs of
groups, normal scores of groups, and the correlation that a mean product of scores stands for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri

Side = tuple[np.ndarray, np.ndarray]  # a column's groups by value, int64, and their shares


def copula(rows: np.ndarray, columns: np.ndarray, correlation: float) -> np.ndarray:
    """Probability of each pair of groups under a normal copula, float64 [rows, columns], by the
    midpoint rule over 200 quantiles of the rows' column (Sklar 1959).

    rows, columns: shares of the groups by value. correlation: of the normal scores, in (-1, 1).
    """
    quantiles = (np.arange(200) + 0.5) / 200
    ends = [
        np.concatenate([[0.0], np.cumsum(side) / max(float(side.sum()), 1e-12)]).clip(0, 1)
        for side in (rows, columns)
    ]
    conditional = ndtr(
        (ndtri(ends[1])[None] - correlation * ndtri(quantiles)[:, None])
        / np.sqrt(1 - correlation**2)
    )
    edges = np.arange(201) / 200
    overlap = np.clip(
        np.minimum(ends[0][1:, None], edges[None, 1:])
        - np.maximum(ends[0][:-1, None], edges[None, :-1]),
        0,
        None,
    )
    return np.asarray(overlap @ np.diff(conditional, axis=1))


def normal_scores(share: np.ndarray) -> np.ndarray:
    """Mean normal score of each group, float64 [groups], from the groups' shares by value."""
    ends = np.concatenate([[0.0], np.cumsum(share) / max(float(share.sum()), 1e-12)]).clip(
        1e-12, 1 - 1e-12
    )
    density = np.exp(-(ndtri(ends) ** 2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray((density[:-1] - density[1:]) / np.maximum(np.diff(ends), 1e-12))


def score_variance(share: np.ndarray) -> float:
    """Variance of the groups' normal scores: 1 for infinitely many groups, 0 for one."""
    return float((share * normal_scores(share) ** 2).sum() / max(float(share.sum()), 1e-12))


def mean_product(
    noisy: np.ndarray, sigma: float, sides: Sequence[Side]
) -> tuple[float, float, np.ndarray]:
    """(mean product of normal scores over rows that miss neither column, standard deviation of its
    noise, the products [groups, groups]).

    noisy: counts [groups, groups] with noise of standard deviation sigma.
    """
    (left, rows), (right, columns) = sides
    product = np.outer(normal_scores(rows), normal_scores(columns))
    inner = noisy[np.ix_(left, right)]
    total = max(float(inner.sum()), sigma)
    return (
        float((inner * product).sum()) / total,
        sigma * float((product**2).sum()) ** 0.5 / total,
        product,
    )


def correlation_of(mean: float, sides: Sequence[Side], product: np.ndarray) -> float:
    """Correlation of the normal copula with this mean product of scores, by bisection to .0005."""
    low, high = -0.99, 0.99
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if (copula(sides[0][1], sides[1][1], middle) * product).sum() < mean
            else (low, middle)
        )
    return (low + high) / 2


def copula_mean(sides: Sequence[Side], correlation: float) -> float:
    """Mean product of the groups' normal scores under a normal copula."""
    return float(
        (
            copula(sides[0][1], sides[1][1], correlation)
            * np.outer(normal_scores(sides[0][1]), normal_scores(sides[1][1]))
        ).sum()
    )
