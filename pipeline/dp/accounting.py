"""From events to (epsilon, delta) and Renyi figures, and from a target to a noise scale.
Neighbours: ADD_OR_REMOVE_ONE patient.

Within a release: the privacy loss distribution (PLD) of everything together, always an upper bound.
Over releases: Renyi divergence at one order, the only sum by which a ledger may admit an adaptively
chosen release (Feldman and Zrnic 2021, arxiv.org/abs/2008.11193).
"""

import math
from collections.abc import Callable, Sequence

import dp_accounting as dpa
import numpy as np
from scipy import optimize, special

from pipeline.dp import pld
from pipeline.dp.errors import MechanismError
from pipeline.dp.events import DiscreteGaussianDpEvent, canonical_string, flatten
from pipeline.dp.noise import sigma_on_grid

SMALLEST_DELTA = 1e-10
_LARGEST_ORDER = 4096
_LARGEST_GRID = 500_000  # points of one leaf


def epsilon(event: dpa.DpEvent, delta: float) -> float:
    """An upper bound of the epsilon of the whole event at `delta`, by PLD; infinity where there is
    none.

    Discrete Gaussians by their exact probabilities, sensitivity 1, composed over blocks; DP-SGD as
    Poisson-sampled Gaussians, the worse of adding and removing. Grid: fine enough that its rounding
    adds less than about 0.1% (see `_interval`).
    """
    return epsilons(event, (delta,))[0]


def epsilons(event: dpa.DpEvent, deltas: Sequence[float]) -> list[float]:
    """`epsilon` at each of these deltas, from one composition: the event keeps all the pairs at
    once.
    """
    for delta in deltas:
        _check_delta(delta)
    if not flatten(event):
        return [0.0] * len(deltas)
    removed, added = loss_distributions(event)
    directions = (removed,) if added is removed else (removed, added)
    return [
        max(pld.epsilon_for_delta(grid, _with_slack(delta)) for grid in directions)
        for delta in deltas
    ]


def loss_distributions(event: dpa.DpEvent) -> tuple[pld.LossGrid, pld.LossGrid]:
    """(patient removed, patient added): the privacy loss of everything in the event together; one
    object where the two are equal.

    Raises ValueError for an event of nothing.
    """
    leaves = flatten(event)
    if not leaves:
        raise MechanismError("an event of nothing has no privacy loss")
    interval = _interval(leaves)
    both = [(pld.loss_grids(leaf, interval), times) for leaf, times in leaves.items()]
    removed = pld.compose([(grids[0], times) for grids, times in both])
    if all(grids[0] is grids[1] for grids, _ in both):
        return removed, removed
    return removed, pld.compose([(grids[1], times) for grids, times in both])


def rdp(event: dpa.DpEvent, order: float) -> float:
    """Renyi divergence bound at one order > 1, summed over everything composed.

    (Discrete) Gaussian: order / (2 sigma^2). Poisson-sampled Gaussian: Mironov, Talwar, Zhang 2019
    (arxiv.org/abs/1908.10530), equation 3 at whole orders; between them (order - 1) x RDP is
    convex, so the chord is a bound.
    """
    if not (order > 1 and math.isfinite(order)):
        raise MechanismError(f"order must be finite and above 1, got {order}")
    return math.fsum(times * _leaf_rdp(leaf, order) for leaf, times in flatten(event).items())


def epsilon_of_rdp(order: float, divergence: float, delta: float) -> float:
    """The epsilon that a Renyi divergence at `order` gives at `delta`: Canonne, Kamath, Steinke
    2020, Proposition 12.
    """
    return max(0.0, divergence + math.log1p(-1 / order) - math.log(delta * order) / (order - 1))


def rdp_bound(epsilon: float, delta: float) -> tuple[int, float]:
    """(order, R): one whole Renyi order and the largest divergence at that order which converts to
    (epsilon, delta).

    A typical release is dominated by (discrete) Gaussians, whose divergence is proportional to the
    order; so the order is the one with the largest R / order: it admits most such releases. DP-SGD
    with noise multipliers below 1 costs more there than its PLD says.

    >>> order, limit = rdp_bound(10.0, 1e-6)
    >>> order, round(limit, 4), round(epsilon_of_rdp(order, limit, 1e-6), 6)
    (4, 6.1446, 10.0)
    """
    _check_delta(delta)
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


def calibrate(
    make_event: Callable[[float], dpa.DpEvent],
    epsilon: float,
    delta: float,
    *,
    tolerance: float = 1e-3,
) -> tuple[float, dpa.DpEvent]:
    """(scale, event): the smallest scale, within a factor 1 + tolerance, whose joint epsilon is at
    most the target.

    make_event(scale) must get no less private as scale grows; all its noise is multiplied by scale,
    say. A first guess from variances, then a bracketed secant on the PLD's epsilon. The event
    returned was itself accounted: epsilon(event, delta) <= epsilon.
    """
    return _Calibration(make_event, epsilon, delta, tolerance).solve()


def round_sigma_up(sigma: float) -> float:
    """The next of a public grid: powers of 1.01, themselves rounded up to 1/64, so that blocks of
    near sizes share one sigma. Never down.

    >>> round_sigma_up(100.0) >= 100.0, round_sigma_up(round_sigma_up(100.0)) == round_sigma_up(100.0)
    (True, True)
    """
    on_grid = sigma_on_grid(sigma)
    power = math.floor(math.log(on_grid) / math.log(1.01)) - 1
    while (rounded := sigma_on_grid(1.01**power)) < on_grid:
        power += 1
    return rounded


class _Calibration:
    """One search for a scale; remembers what it has accounted, as rounding of sigmas makes many
    scales equal.
    """

    def __init__(
        self,
        make_event: Callable[[float], dpa.DpEvent],
        target: float,
        delta: float,
        tolerance: float,
    ) -> None:
        _check_delta(delta)
        if not (math.isfinite(target) and target > 0):
            raise MechanismError(f"epsilon must be positive and finite, got {target}")
        self._make_event, self._target, self._delta, self._tolerance = (
            make_event,
            target,
            delta,
            tolerance,
        )
        self._known: dict[str, float] = {}

    def solve(self) -> tuple[float, dpa.DpEvent]:
        scale = self._guess()
        too_small, enough = (0.0, math.inf), (math.inf, 0.0)  # (scale, epsilon)
        for _ in range(80):
            found = self._epsilon(scale)
            if found <= self._target:
                enough = (scale, found)
            else:
                too_small = (scale, found)
            if (
                enough[0] / max(too_small[0], 1e-300) <= 1 + self._tolerance
                or self._target * (1 - 1e-4) <= enough[1]
            ):
                return enough[0], self._make_event(enough[0])
            scale = self._next(too_small, enough)
        raise MechanismError(
            f"no scale found for epsilon {self._target}, delta {self._delta}: does make_event get"
            " more private with scale?"
        )

    def _next(self, too_small: tuple[float, float], enough: tuple[float, float]) -> float:
        if enough[0] == math.inf:
            return too_small[0] * (min(max(too_small[1] / self._target, 1.01), 4.0))
        if too_small[0] == 0.0:
            return enough[0] / min(max(self._target / max(enough[1], 1e-9), 1.01), 4.0)
        low, high = math.log(too_small[0]), math.log(enough[0])
        share = 0.5
        if math.isfinite(too_small[1]) and enough[1] > 0:
            top, bottom = math.log(too_small[1]), math.log(enough[1])
            share = (top - math.log(self._target)) / (top - bottom)
        # end just inside the bracket, so that it closes
        edge = min(0.25, 0.4 * self._tolerance / (high - low))
        return math.exp(low + min(max(share + edge, edge), 1 - edge) * (high - low))

    def _epsilon(self, scale: float) -> float:
        event = self._make_event(scale)
        key = canonical_string(event)
        if key not in self._known:
            self._known[key] = epsilon(event, self._delta)
        return self._known[key]

    def _guess(self) -> float:
        """Where a Gaussian of the same total variance of loss meets the target: a place to start,
        never a proof.
        """
        goal = _gaussian_mu(self._target, self._delta) ** 2

        def too_small(scale: float) -> bool:
            return _variance(flatten(self._make_event(scale))) > goal

        low = high = 1.0
        while too_small(high) and high < 1e12:
            low, high = high, 4 * high
        while not too_small(low) and low > 1e-12:
            low, high = low / 4, low
        while high / low > 1.01:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if too_small(middle) else (low, middle)
        return high


def gaussian_delta(epsilon: float, mu: float) -> float:
    """delta of a Gaussian mechanism with sensitivity / sigma = mu: Balle and Wang 2018, Theorem 8
    (arxiv.org/abs/1805.06530).
    """
    other = special.log_ndtr(-epsilon / mu - mu / 2) + epsilon
    return float(special.ndtr(-epsilon / mu + mu / 2) - np.exp(other))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The epsilon of a Gaussian mechanism with sensitivity / sigma = mu; 0 where its delta is small
    enough at 0.
    """
    if gaussian_delta(0.0, mu) <= delta:
        return 0.0
    return float(
        optimize.brentq(
            lambda epsilon: gaussian_delta(epsilon, mu) - delta, 0.0, mu * mu / 2 + 40 * mu
        )
    )


def _gaussian_mu(epsilon: float, delta: float) -> float:
    low, high = 1e-9, 1e4
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if gaussian_delta(epsilon, middle) > delta else (middle, high)
    return low


def _leaf_rdp(leaf: dpa.DpEvent, order: float) -> float:
    if isinstance(leaf, DiscreteGaussianDpEvent):
        return order / (2 * leaf.sigma**2)
    if isinstance(leaf, dpa.GaussianDpEvent):
        return order / (2 * leaf.noise_multiplier**2)
    assert isinstance(leaf, dpa.PoissonSampledDpEvent)  # flatten lets nothing else through
    if leaf.sampling_probability == 1:
        return _leaf_rdp(leaf.event, order)
    below, above = math.floor(order), math.ceil(order)
    log_a = _log_a(below, leaf)
    if above > below:
        log_a += (order - below) * (_log_a(above, leaf) - log_a)
    return log_a / (order - 1)


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


def _variance(leaves: dict[dpa.DpEvent, int]) -> float:
    """Of the privacy loss, roughly; Gaussian: 1 / sigma^2."""
    total = 0.0
    for leaf, times in leaves.items():
        if isinstance(leaf, dpa.PoissonSampledDpEvent):
            q, sigma = leaf.sampling_probability, leaf.event.noise_multiplier
            total += times * min(1 / sigma**2, q**2 * math.expm1(min(1 / sigma**2, 500.0)))
        else:
            total += (
                times
                / (
                    leaf.sigma
                    if isinstance(leaf, DiscreteGaussianDpEvent)
                    else leaf.noise_multiplier
                )
                ** 2
            )
    return total


def _interval(leaves: dict[dpa.DpEvent, int]) -> float:
    """Grid step: rounding adds about interval^2 / 6 to the variance of each part; kept below
    1/10,000 of the whole where memory allows.
    """
    fine = min(1e-3, 0.02 * math.sqrt(_variance(leaves) / sum(leaves.values())))
    smallest = min(
        (
            leaf.event.noise_multiplier
            if isinstance(leaf, dpa.PoissonSampledDpEvent)
            else leaf.sigma
            if isinstance(leaf, DiscreteGaussianDpEvent)
            else leaf.noise_multiplier
        )
        for leaf in leaves
    )
    largest_loss = (1 + 24 * smallest) / (2 * smallest**2)
    return max(fine, largest_loss / _LARGEST_GRID)


def _with_slack(delta: float) -> float:
    """A slightly smaller delta to ask for: the FFT's rounding moves delta by less than 1e-12 (a
    test measures it).
    """
    return delta - max(1e-3 * delta, 1e-12)


def _check_delta(delta: float) -> None:
    if not SMALLEST_DELTA <= delta < 1:
        raise MechanismError(f"delta must be in [{SMALLEST_DELTA}, 1), got {delta}")
