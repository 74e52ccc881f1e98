"""Estimates with their 95% intervals, and what two samples of one population would differ by."""

from __future__ import annotations

import math

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from pipeline.evaluation.findings import Estimate

Z95, Z99 = 1.959964, 2.575829  # two-sided normal quantiles
# of a sum of absolute normal deviations: its 99th percentile in standard deviations above its mean;
# 2.95 for one deviation (the half-normal), 2.33 for many
SKEW_99 = 3.0
DAYS_PER_YEAR = 365.25


def proportion(hits: int, n: int) -> Estimate:
    """In per cent, with Wilson's interval. NaN where n is 0."""
    if n == 0:
        return Estimate(value=math.nan)
    low, high = proportion_confint(hits, n, method="wilson")
    return Estimate(value=100 * hits / n, low=100 * float(low), high=100 * float(high), n=int(n))


def mean(values: np.ndarray) -> Estimate:
    """With the normal interval of the mean. NaN where there is no value."""
    if len(values) == 0:
        return Estimate(value=math.nan)
    middle = float(values.mean())
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return around(middle, spread / math.sqrt(len(values)), len(values))


def around(value: float, error: float, n: int) -> Estimate:
    """A value with a standard error."""
    return Estimate(value=value, low=value - Z95 * error, high=value + Z95 * error, n=int(n))


def quantile(values: np.ndarray, share: float) -> Estimate:
    """With the interval of order statistics (binomial, normal approximation)."""
    n = len(values)
    if n == 0:
        return Estimate(value=math.nan)
    reach = Z95 * math.sqrt(share * (1 - share) / n)
    value, low, high = np.quantile(
        values, [share, max(0.0, share - reach), min(1.0, share + reach)]
    )
    return Estimate(value=float(value), low=float(low), high=float(high), n=n)


def error(estimate: Estimate) -> float:
    """The standard error that the interval of an estimate tells; 0 where it has no interval."""
    width = estimate.high - estimate.low
    return 0.0 if math.isnan(width) else width / (2 * Z95)


def joint_error(real: Estimate, synthetic: Estimate) -> float:
    """Standard error of the difference of two independent estimates."""
    return math.hypot(error(real), error(synthetic))


def tvd(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Total variation distance of two tables of counts in the same cells, 0 (same shares) to 1."""
    return float(0.5 * np.abs(real / real.sum() - synthetic / synthetic.sum()).sum())


def tvd_of_chance(
    real: np.ndarray, synthetic: np.ndarray, sizes: tuple[float, float] | None = None
) -> tuple[float, float]:
    """(mean, standard deviation) of the TVD of two samples of one population.

    Cell i of two multinomial samples of n and m differs by a normal deviation of variance
    p (1 - p) (1/n + 1/m); |X| and |Y| of two with correlation r have covariance of about
    r^2 / pi times both deviations. sizes: independent units (patients), where cells count
    several rows of one.
    """
    n, m = sizes or (float(real.sum()), float(synthetic.sum()))
    p = (real + synthetic) / (real.sum() + synthetic.sum())
    p = p[(p > 0) & (p < 1)]
    scale = 1 / n + 1 / m
    deviations = np.sqrt(p * (1 - p) * scale)
    weight = p**1.5 / np.sqrt(1 - p)
    covariances = scale / math.pi * (weight.sum() ** 2 - (weight**2).sum())
    variance = 0.25 * ((1 - 2 / math.pi) * (deviations**2).sum() + covariances)
    return float(0.5 * math.sqrt(2 / math.pi) * deviations.sum()), math.sqrt(max(variance, 0.0))


def ks_of_chance(n: int, m: int) -> float:
    """99th percentile of the Kolmogorov-Smirnov statistic of two samples of one population."""
    return 1.628 * math.sqrt(1 / n + 1 / m)


def ks(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Largest gap between two empirical distribution functions."""
    grid = np.unique(np.concatenate([real, synthetic]))
    steps = (
        np.searchsorted(np.sort(values), grid, side="right") / len(values)
        for values in (real, synthetic)
    )
    first, second = steps
    return float(np.abs(first - second).max())


def interval_overlap(real: Estimate, synthetic: Estimate) -> float:
    """Mean share of each 95% interval that the other covers; below 0 where they lie apart (Karr et
    al. 2006, The American Statistician 60(3), section 3).
    """
    common = min(real.high, synthetic.high) - max(real.low, synthetic.low)
    widths = (real.high - real.low, synthetic.high - synthetic.low)
    if min(widths) <= 0:
        return math.nan
    return 0.5 * sum(common / width for width in widths)


def overlap_loss_of_chance(n_coefficients: int) -> float:
    """99th percentile of 1 - mean interval overlap of independent coefficients of two samples of
    one population and size: 1 - overlap = |Z| sqrt 2 / 3.92, which has mean .29 and deviation .22.
    """
    return 0.288 + Z99 * 0.218 / math.sqrt(max(n_coefficients, 1))
