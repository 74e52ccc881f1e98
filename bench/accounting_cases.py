"""The mechanisms whose accounting bench/accounting_check.py compares, and their exact epsilon.

Exact: Gaussians by Balle and Wang 2018, Theorem 8, and one step of DP-SGD by the same integral over
its mixture, with 40 digits; discrete Gaussians by convolving their probabilities, as equal blocks
share one lattice of losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import dp_accounting as dpa
import mpmath
import numpy as np
from scipy import optimize, signal

from pipeline.dp.events import DiscreteGaussianDpEvent

DIGITS = 40


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of mechanism with noise `sigma`, `times` times; q is the chance to join a batch, 1
    where everybody does.
    """

    kind: str  # gaussian or discrete
    sigma: float
    times: int
    q: float = 1.0

    @property
    def event(self) -> dpa.DpEvent:
        if self.kind == "discrete":
            return dpa.SelfComposedDpEvent(DiscreteGaussianDpEvent(self.sigma), self.times)
        gaussian = dpa.GaussianDpEvent(self.sigma)
        return dpa.SelfComposedDpEvent(dpa.PoissonSampledDpEvent(self.q, gaussian), self.times)

    @property
    def name(self) -> str:
        sampled = f", q {self.q:g}" if self.kind == "gaussian" else ""
        return (
            f"{'Gaussian' if self.kind == 'gaussian' else 'discrete Gaussian'}, sigma"
            f" {self.sigma:g}{sampled}, {self.times:,} times"
        )


CASES = (
    *(
        Case(kind="discrete", sigma=sigma, times=times)
        for sigma, times in ((0.7, 1), (4.0, 1), (60.0, 1), (2.0, 12), (12.0, 200), (90.0, 1500))
    ),
    *(
        Case(kind="gaussian", sigma=sigma, times=times)
        for sigma, times in ((0.7, 1), (4.0, 1), (30.0, 1), (2.0, 12), (40.0, 1500))
    ),
    *(
        Case(kind="gaussian", q=q, sigma=sigma, times=times)
        for q, sigma, times in (
            (1e-3, 0.6, 1),
            (1e-3, 0.6, 1000),
            (1e-3, 4.0, 10_000),
            (0.01, 0.8, 1),
            (0.01, 0.8, 300),
            (0.01, 3.0, 5000),
            (0.1, 1.0, 1),
            (0.1, 1.0, 20),
            (0.1, 16.0, 200),
            (0.1, 6.0, 1000),
        )
    ),
)


def exact(case: Case, delta: float) -> float | None:
    """The smallest epsilon at which the definition gives at most delta; None for composed DP-SGD,
    of which no closed form is known.
    """
    if case.kind == "discrete":
        return _convolved(case.sigma, case.times, delta)
    if case.q == 1:
        return _root(lambda at: _sampled_delta(at, math.sqrt(case.times) / case.sigma, 1.0), delta)
    if case.times == 1:
        return _root(lambda at: _sampled_delta(at, 1 / case.sigma, case.q), delta)
    return None


def _sampled_delta(epsilon: Any, mu: float, q: float) -> Any:
    """Of (1-q) N(0, 1) + q N(mu, 1) against N(0, 1), the worse way round: the loss crosses epsilon
    at one point of the line.
    """

    def above(x: Any, mean: float = 0.0) -> Any:
        return mpmath.ncdf(mean - x)

    odds = mpmath.exp(epsilon)
    x = (mpmath.log((odds - (1 - q)) / q)) / mu + mpmath.mpf(mu) / 2
    removed = (1 - q) * above(x) + q * above(x, mu) - odds * above(x)
    if 1 / odds <= 1 - q:
        return removed  # the other way round, the loss never gets this high
    x = (mpmath.log((1 / odds - (1 - q)) / q)) / mu + mpmath.mpf(mu) / 2
    added = mpmath.ncdf(x) - odds * ((1 - q) * mpmath.ncdf(x) + q * mpmath.ncdf(x - mu))
    return max(removed, added)


def _root(delta_at: Any, delta: float) -> float:
    with mpmath.workdps(DIGITS):
        low, high = mpmath.mpf(0), mpmath.mpf(1)
        if delta_at(low + mpmath.mpf(10) ** -30) <= delta:
            return 0.0
        while delta_at(high) > delta:
            high *= 2
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if delta_at(middle) > delta else (low, middle)
        return float(high)


def _convolved(sigma: float, times: int, delta: float) -> float:
    """The losses (times - 2 S) / (2 sigma^2), S the sum of the noises: its probabilities by
    repeated squaring.
    """
    bound = math.ceil(14 * sigma) + 2
    x = np.arange(-bound, bound + 1)
    one = np.exp(-(x.astype(float) ** 2) / (2 * sigma**2))
    one /= one.sum()
    total, width, left, square, square_width = np.ones(1), 0, times, one, bound
    while left:
        if left % 2:
            total, width = signal.convolve(total, square), width + square_width
        left //= 2
        if left:
            square, square_width = signal.convolve(square, square), 2 * square_width
    losses = (times - 2 * np.arange(-width, width + 1)) / (2 * sigma**2)

    def delta_at(epsilon: float) -> float:
        return float((total * -np.expm1(np.minimum(0.0, epsilon - losses))).sum())

    return (
        0.0
        if delta_at(0.0) <= delta
        else float(
            optimize.brentq(
                lambda at: delta_at(at) - delta, 0.0, losses.max(), xtol=1e-13, rtol=1e-13
            )
        )
    )
