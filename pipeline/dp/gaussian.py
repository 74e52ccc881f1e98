"""The Gaussian mechanism alone, exactly: Balle and Wang 2018, Theorem 8 (arxiv.org/abs/1805.06530).
`mu` is the sensitivity over sigma.
"""

import math

import numpy as np
from scipy import optimize, special


def gaussian_delta(epsilon: float, mu: float) -> float:
    """The least delta at which a Gaussian mechanism with this mu > 0 keeps epsilon: Theorem 8."""
    other = special.log_ndtr(-epsilon / mu - mu / 2) + epsilon
    return float(special.ndtr(-epsilon / mu + mu / 2) - np.exp(other))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The least epsilon of a Gaussian mechanism with this mu > 0 at delta; 0 where its delta is
    small enough at 0.
    """
    if gaussian_delta(0.0, mu) <= delta:
        return 0.0
    return float(
        optimize.brentq(
            lambda epsilon: gaussian_delta(epsilon, mu) - delta, 0.0, mu * mu / 2 + 40 * mu
        )
    )


def gaussian_mu(epsilon: float, delta: float) -> float:
    """The largest mu of a Gaussian mechanism that keeps (epsilon, delta), from below by bisection,
    in [1e-9, 1e4].
    """
    low, high = 1e-9, 1e4
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if gaussian_delta(epsilon, middle) > delta else (middle, high)
    return low
