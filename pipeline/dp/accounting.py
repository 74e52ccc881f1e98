"""From events to (epsilon, delta), and from a target to a noise scale, within one release.
Neighbours: ADD_OR_REMOVE_ONE patient.

By the privacy loss distribution (PLD) of everything together, always an upper bound. Releases that
were chosen after others are added up by Renyi divergence instead (`renyi`).
"""

import math
from collections.abc import Callable, Sequence

import dp_accounting as dpa

from pipeline.dp import pld
from pipeline.dp.errors import MechanismError
from pipeline.dp.events import (
    DiscreteGaussianDpEvent,
    ExponentialMechanismDpEvent,
    canonical_string,
    flatten,
)
from pipeline.dp.gaussian import gaussian_mu
from pipeline.dp.noise import sigma_on_grid
from pipeline.dp.renyi import check_delta

_LARGEST_GRID = 500_000  # points of one leaf


def epsilon(event: dpa.DpEvent, delta: float) -> float:
    """An upper bound of the epsilon of the whole event at `delta`, by PLD; infinity where there is
    none.

    Discrete Gaussians by their exact probabilities, sensitivity 1, composed over blocks; DP-SGD as
    Poisson-sampled Gaussians, the worse of adding and removing. Grid: fine enough that its rounding
    adds less than about 0.1% (see `_interval`).

    Raises MechanismError for a delta out of range, or an event that the accounting does not know.
    """
    return epsilons(event, (delta,))[0]


def epsilons(event: dpa.DpEvent, deltas: Sequence[float]) -> list[float]:
    """`epsilon` at each of these deltas, [len(deltas)], from one composition: the event keeps all
    the pairs at once. Raises as `epsilon` does.
    """
    for delta in deltas:
        check_delta(delta)
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

    Raises MechanismError for an event of nothing.
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

    Raises MechanismError for an impossible target, or where no scale reaches it.
    """
    return _Calibration(make_event, epsilon, delta, tolerance).solve()


def round_sigma_up(sigma: float) -> float:
    """The next of a public grid: powers of 1.01, themselves rounded up to 1/64, so that blocks of
    near sizes share one sigma. Never down. Raises MechanismError for a sigma that is not positive,
    or above 2^20.

    >>> sigma = round_sigma_up(100.0)
    >>> sigma >= 100.0, round_sigma_up(sigma) == sigma
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
        check_delta(delta)
        if not (math.isfinite(target) and target > 0):
            raise MechanismError(f"epsilon must be positive and finite, got {target}")
        self._make_event, self._target, self._delta, self._tolerance = (
            make_event,
            target,
            delta,
            tolerance,
        )
        self._epsilons: dict[str, float] = {}

    def solve(self) -> tuple[float, dpa.DpEvent]:
        scale = self._guess()
        too_small, enough = (0.0, math.inf), (math.inf, 0.0)  # (scale, epsilon)
        for _ in range(80):
            epsilon_at = self._epsilon(scale)
            if epsilon_at <= self._target:
                enough = (scale, epsilon_at)
            else:
                too_small = (scale, epsilon_at)
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
        if key not in self._epsilons:
            self._epsilons[key] = epsilon(event, self._delta)
        return self._epsilons[key]

    def _guess(self) -> float:
        """Where a Gaussian of the same total variance of loss meets the target: a place to start,
        never a proof.
        """
        goal = gaussian_mu(self._target, self._delta) ** 2

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


def _variance(leaves: dict[dpa.DpEvent, int]) -> float:
    """Of the privacy loss, roughly; Gaussian: 1 / sigma^2."""
    total = 0.0
    for leaf, times in leaves.items():
        if isinstance(leaf, dpa.PoissonSampledDpEvent):
            q, sigma = leaf.sampling_probability, leaf.event.noise_multiplier
            total += times * min(1 / sigma**2, q**2 * math.expm1(min(1 / sigma**2, 500.0)))
        elif isinstance(leaf, ExponentialMechanismDpEvent):
            total += times * leaf.epsilon**2 / 3
        else:
            total += times / _sigma(leaf) ** 2
    return total


def _sigma(leaf: dpa.DpEvent) -> float:
    """Noise over sensitivity, whether or not patients are sampled; of a pick that of a Gaussian
    with its variance of loss.
    """
    if isinstance(leaf, ExponentialMechanismDpEvent):
        return math.sqrt(3) / leaf.epsilon
    if isinstance(leaf, dpa.PoissonSampledDpEvent):
        return float(leaf.event.noise_multiplier)
    return float(leaf.sigma if isinstance(leaf, DiscreteGaussianDpEvent) else leaf.noise_multiplier)


def _interval(leaves: dict[dpa.DpEvent, int]) -> float:
    """Grid step: rounding adds about interval^2 / 6 to the variance of each part; kept below
    1/10,000 of the whole where memory allows.
    """
    fine = min(1e-3, 0.02 * math.sqrt(_variance(leaves) / sum(leaves.values())))
    smallest = min(_sigma(leaf) for leaf in leaves)
    largest_loss = (1 + 24 * smallest) / (2 * smallest**2)
    return max(fine, largest_loss / _LARGEST_GRID)


def _with_slack(delta: float) -> float:
    """A slightly smaller delta to ask for: the FFT's rounding moves delta by less than 1e-12 (a
    test measures it).
    """
    return delta - max(1e-3 * delta, 1e-12)
