"""Renyi divergence at one order, the only sum by which a ledger may admit an adaptively chosen
release: Feldman and Zrnic 2021 (arxiv.org/abs/2008.11193). Neighbours: ADD_OR_REMOVE_ONE patient.
"""

import math

import dp_accounting as dpa
import numpy as np
from scipy import special

from pipeline.dp.errors import MechanismError
from pipeline.dp.events import DiscreteGaussianDpEvent, ExponentialMechanismDpEvent, flatten

SMALLEST_DELTA = 1e-10
_LARGEST_ORDER = 4096


def rdp(event: dpa.DpEvent, order: float) -> float:
    """Renyi divergence bound at one order > 1, in nats, summed over everything composed.

    Gaussian and discrete Gaussian: order / (2 sigma^2) (Canonne, Kamath, Steinke 2020, Proposition
    5). Poisson-sampled Gaussian: Mironov, Talwar, Zhang 2019 (arxiv.org/abs/1908.10530), equation 3
    at whole orders; between them (order - 1) x RDP is convex, so the chord is a bound. Exponential
    mechanism: that of the pair of distributions which dominates it
    (`pld.bounded_range_divergence`).

    Raises MechanismError for an order of at most 1, or an event that the accounting does not know.
    """
    if not (order > 1 and math.isfinite(order)):
        raise MechanismError(f"order must be finite and above 1, got {order}")
    return math.fsum(times * _leaf_rdp(leaf, order) for leaf, times in flatten(event).items())


def epsilon_of_rdp(order: float, divergence: float, delta: float) -> float:
    """The epsilon that a Renyi divergence at `order` > 1 gives at `delta` in (0, 1); at least 0:
    Canonne, Kamath, Steinke 2020 (arxiv.org/abs/2004.00010), Proposition 12.
    """
    return max(0.0, divergence + math.log1p(-1 / order) - math.log(delta * order) / (order - 1))


def rdp_bound(epsilon: float, delta: float) -> tuple[int, float]:
    """(order, R): one whole Renyi order and the largest divergence at that order which converts to
    (epsilon, delta).

    A typical release is dominated by (discrete) Gaussians, whose divergence is proportional to the
    order; so the order is the one with the largest R / order: it admits most such releases. DP-SGD
    with noise multipliers below 1 costs more there than its PLD says.

    Raises MechanismError for an impossible target, or one that admits nothing at any order.

    >>> order, limit = rdp_bound(10.0, 1e-6)
    >>> order, round(limit, 4), round(epsilon_of_rdp(order, limit, 1e-6), 6)
    (4, 6.1446, 10.0)
    """
    check_delta(delta)
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise MechanismError(f"epsilon must be positive and finite, got {epsilon}")
    order = max(
        range(2, _LARGEST_ORDER + 1), key=lambda order: rdp_limit(order, epsilon, delta) / order
    )
    if (limit := rdp_limit(order, epsilon, delta)) <= 0:
        raise MechanismError(
            f"no Renyi order up to {_LARGEST_ORDER} admits anything at epsilon {epsilon}, delta"
            f" {delta}: raise one of them"
        )
    return order, limit


def rdp_limit(order: int, epsilon: float, delta: float) -> float:
    """The largest Renyi divergence at `order` that converts to (epsilon, delta): `epsilon_of_rdp`
    turned round. May be negative: nothing fits.

    >>> round(rdp_limit(4, 10.0, 1e-6), 4)
    6.1446
    """
    return epsilon - math.log1p(-1 / order) + math.log(delta * order) / (order - 1)


def _leaf_rdp(leaf: dpa.DpEvent, order: float) -> float:
    if isinstance(leaf, DiscreteGaussianDpEvent):
        return order / (2 * leaf.sigma**2)
    if isinstance(leaf, dpa.GaussianDpEvent):
        return order / (2 * leaf.noise_multiplier**2)
    if isinstance(leaf, ExponentialMechanismDpEvent):
        return _bounded_range_rdp(leaf.epsilon, order)
    assert isinstance(leaf, dpa.PoissonSampledDpEvent)  # flatten lets nothing else through
    if leaf.sampling_probability == 1:
        return _leaf_rdp(leaf.event, order)
    below, above = math.floor(order), math.ceil(order)
    log_a = _log_a(below, leaf)
    if above > below:
        log_a += (order - below) * (_log_a(above, leaf) - log_a)
    return log_a / (order - 1)


def _bounded_range_rdp(epsilon: float, order: float) -> float:
    """log of sinh(k epsilon) / (2 k sinh(epsilon / 2)), k = order - 1/2, over (order - 1).

    Under the other neighbour the dominating pair has likelihood ratios x with density
    e^(epsilon/2) / (2 (e^epsilon - 1)) x^(-3/2) on [e^-epsilon, e^epsilon]: the second derivative
    of its hockey-stick divergence. This is the log of the mean of x^order.
    """
    k = order - 0.5
    log_mean = (
        k * epsilon
        + math.log(-math.expm1(-2 * k * epsilon))
        - math.log(2 * k)
        - epsilon / 2
        - math.log(-math.expm1(-epsilon))
    )
    return max(0.0, log_mean) / (order - 1)


def _log_a(order: int, leaf: dpa.PoissonSampledDpEvent) -> float:
    """log of sum_k C(order, k) (1-q)^(order-k) q^k exp(k (k-1) / (2 sigma^2)): (order - 1) x RDP at
    a whole order.
    """
    q, sigma = leaf.sampling_probability, leaf.event.noise_multiplier
    k = np.arange(order + 1, dtype=float)
    log_binomial = (
        special.gammaln(order + 1) - special.gammaln(k + 1) - special.gammaln(order - k + 1)
    )
    terms = (
        log_binomial
        + special.xlog1py(order - k, -q)
        + k * math.log(q)
        + k * (k - 1) / (2 * sigma**2)
    )
    return max(0.0, float(special.logsumexp(terms)))


def check_delta(delta: float) -> None:
    """Raises MechanismError for a delta that our figures do not reach."""
    if not SMALLEST_DELTA <= delta < 1:
        raise MechanismError(f"delta must be in [{SMALLEST_DELTA}, 1), got {delta}")
