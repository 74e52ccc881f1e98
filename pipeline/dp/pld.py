"""Privacy loss distributions on a grid, always rounded so that they bound the true ones from above.

Grid: Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022, "Connect the Dots"
    (arxiv.org/abs/2207.04380): a loss l between two grid points is split between them so that its
    mass under both neighbours is kept; by convexity every hockey-stick divergence grows.
    Composition: one FFT of all parts (Koskela, Jalko, Honkela 2020), with Chernoff bounds for the
    mass outside its window.
"""

import math
from dataclasses import dataclass
from typing import Any

import dp_accounting as dpa
import numpy as np
from scipy import fft, special

from pipeline.dp.errors import MechanismError
from pipeline.dp.events import DiscreteGaussianDpEvent, ExponentialMechanismDpEvent

Array = np.ndarray[Any, Any]

_TAIL_SIGMAS = 12.0  # noise beyond 12 sigma (mass 1e-32) counts as infinite loss
_WINDOW_MASS = 1e-15  # mass outside the composition's window, counted as infinite loss


@dataclass(frozen=True)
class LossGrid:
    """Mass of the privacy loss on the points (lowest + i) * interval, and the mass at infinity."""

    interval: float
    lowest: int
    mass: Array  # [n], sums to 1 - infinite up to rounding
    infinite: float


def loss_grids(event: dpa.DpEvent, interval: float) -> tuple[LossGrid, LossGrid]:
    """(patient removed, patient added) for one leaf event, on the grid of this interval > 0. Raises
    MechanismError for an event that the accounting does not know.
    """
    if isinstance(event, DiscreteGaussianDpEvent):
        grid = _discrete_gaussian(event.sigma, interval)
        return grid, grid  # the pair of neighbours is its own mirror image
    if isinstance(event, ExponentialMechanismDpEvent):
        grid = _exponential_mechanism(event.epsilon, interval)
        return grid, grid  # a bound for both directions
    if isinstance(event, dpa.GaussianDpEvent):
        return _sampled_gaussian(1.0, event.noise_multiplier, interval)
    if isinstance(event, dpa.PoissonSampledDpEvent) and isinstance(
        event.event, dpa.GaussianDpEvent
    ):
        return _sampled_gaussian(event.sampling_probability, event.event.noise_multiplier, interval)
    raise MechanismError(f"no privacy loss distribution for the event {type(event).__name__}")


def compose(parts: list[tuple[LossGrid, int]]) -> LossGrid:
    """Each grid as often as its number says, all composed: [(grid, times)]. Intervals must be
    equal. Koskela, Jalko, Honkela 2020 (arxiv.org/abs/1906.03049).
    """
    interval = parts[0][0].interval
    low, high = _window(parts)
    size = fft.next_fast_len(max(high - low + 1, *(len(grid.mass) for grid, _ in parts)), real=True)
    spectrum = np.ones(size // 2 + 1, dtype=complex)
    finite = 0.0  # log of the chance that no part has infinite loss
    for grid, times in parts:
        spectrum *= fft.rfft(grid.mass, size) ** times
        finite += times * np.log1p(-grid.infinite)
    mass = np.roll(fft.irfft(spectrum, size), -low)[: high - low + 1].clip(min=0.0)
    lowest = sum(grid.lowest * times for grid, times in parts) + low
    return LossGrid(interval, lowest, mass, -float(np.expm1(finite)) + _WINDOW_MASS)


def epsilon_for_delta(grid: LossGrid, delta: float) -> float:
    """The smallest epsilon >= 0 whose hockey-stick divergence is at most delta; infinity where
    there is none.
    """
    losses = (grid.lowest + np.arange(len(grid.mass))) * grid.interval
    if grid.infinite > delta or losses[-1] > 600:
        return float("inf")
    # mass with loss >= losses[i]
    above = grid.infinite + np.cumsum(grid.mass[::-1])[::-1]
    # the same, under the other neighbour
    other = np.cumsum((grid.mass * np.exp(-losses.clip(min=-600)))[::-1])[::-1]
    # delta at epsilon = losses[i]
    divergence = np.append(above[1:] - np.exp(losses[:-1]) * other[1:], grid.infinite)
    i = int(np.argmax(divergence <= delta))
    if i == 0 and losses[0] > 0:
        return float(losses[0])
    if above[i] <= delta:
        return max(0.0, float(losses[i]))
    return max(0.0, min(float(losses[i]), float(np.log((above[i] - delta) / other[i]))))


def _discrete_gaussian(sigma: float, interval: float) -> LossGrid:
    """Noise against noise moved by 1: at x the loss is (1 - 2x) / (2 sigma^2). The exact atoms,
    split onto the grid.
    """
    bound = int(np.ceil(_TAIL_SIGMAS * sigma)) + 1
    x = np.arange(-bound, bound + 1)
    weights = np.exp(-(x.astype(float) ** 2) / (2 * sigma**2))
    atoms = weights / weights.sum()
    losses = (1 - 2 * x) / (2 * sigma**2)
    index = np.floor(losses / interval).astype(np.int64)
    share_above = np.expm1(index * interval - losses) / np.expm1(-interval)
    upper = atoms * share_above.clip(0.0, 1.0)
    lowest = int(index.min())
    mass = np.bincount(index - lowest, atoms - upper, minlength=int(index.max()) - lowest + 2)
    mass += np.bincount(index - lowest + 1, upper, minlength=len(mass))
    # of the noise outside +-bound: at most the continuous tail (CKS 2020, Prop. 25)
    beyond = 2 * special.ndtr(-_TAIL_SIGMAS)
    return LossGrid(interval, lowest, mass, float(beyond))


def bounded_range_divergence(epsilon: float, loss: Array) -> Array:
    """The largest hockey-stick divergence at e^loss that any mechanism has whose log likelihood
    ratios between neighbours lie in a range of width `epsilon` that holds 0.

    Of the distributions on [t - epsilon, t] with E[e^-L] = 1 the one on the two ends has the most
    (the divergence is convex in e^-L): (E - e^t) (1 - e^(loss - t)) / (E - 1), E = e^epsilon. It is
    largest at t = (epsilon + loss) / 2, where it is (e^(epsilon/2) - e^(loss/2))^2 / (E - 1). A
    supremum of convex functions is convex, so this is the privacy profile of a pair of
    distributions that dominates each such mechanism (Zhu, Dong, Wang 2022,
    arxiv.org/abs/2106.08567, Proposition 8), and domination survives adaptive composition (Theorem
    10 there). Dong, Durfee, Rogers 2020 (arxiv.org/abs/1909.13830) compose the pairs on two ends,
    each at a t of its own: never more than this.
    """
    inside = np.clip(loss, -epsilon, epsilon)
    profile = np.expm1((inside - epsilon) / 2) ** 2 / -np.expm1(-epsilon)
    return np.where(loss < -epsilon, -np.expm1(loss), profile)


def _exponential_mechanism(epsilon: float, interval: float) -> LossGrid:
    """The dominating pair on the grid, by connecting its divergences at grid points: a piecewise
    linear function of e^loss through them lies above it, for it is convex.
    """
    lowest = math.floor(-epsilon / interval)
    places = np.arange(lowest, math.ceil(epsilon / interval) + 1)
    losses = places * interval
    heights = bounded_range_divergence(epsilon, losses)
    # slopes over e^loss between the points; -1 before the first, 0 after the last
    slopes = np.diff(heights) / (np.exp(losses[:-1]) * np.expm1(interval))
    other = np.diff(np.concatenate([[-1.0], slopes, [0.0]])).clip(min=0.0)
    mass = other * np.exp(losses)  # of a point under the neighbour with the patient
    return LossGrid(interval, lowest, mass / mass.sum(), 0.0)


def _sampled_gaussian(q: float, sigma: float, interval: float) -> tuple[LossGrid, LossGrid]:
    """Mixture (1-q) N(0, s^2) + q N(1, s^2) against N(0, s^2), both ways round.

    The line is cut where the loss log(1 - q + q exp((2x - 1) / (2 s^2))) crosses grid points;
    within a cell only the masses matter.
    """

    def loss(x: float) -> float:
        exponent = (2 * x - 1) / (2 * sigma**2)
        return float(np.logaddexp(np.log1p(-q), np.log(q) + exponent)) if q < 1 else exponent

    first = int(np.floor(loss(-_TAIL_SIGMAS * sigma) / interval))
    last = int(np.ceil(loss(1 + _TAIL_SIGMAS * sigma) / interval))
    grid = np.arange(first, last + 1) * interval
    with np.errstate(divide="ignore", invalid="ignore"):
        # log((e^l - (1-q)) / q), written so that neither small nor large l loses digits; -inf where
        # the loss never gets that low
        scaled = np.log(
            np.where(
                grid > 30,
                1 - (1 - q) * np.exp(-grid.clip(min=0)),
                (np.expm1(grid.clip(max=30)) + q) / q,
            )
        )
        exponent = np.where(grid > 30, grid - np.log(q) + scaled, scaled) if q < 1 else grid
    cuts = np.where(np.isnan(exponent), -np.inf, sigma**2 * exponent + 0.5)
    without, with_patient = _cell_masses(cuts, 0.0, sigma), _cell_masses(cuts, 1.0, sigma)
    mixture = (1 - q) * without + q * with_patient
    below = special.ndtr(cuts[0] / sigma)  # left of the first cut: 0, or a loss below the grid
    beyond = special.ndtr(-cuts[-1] / sigma)
    beyond_mixture = (1 - q) * beyond + q * special.ndtr((1 - cuts[-1]) / sigma)
    low, high = grid[:-1], grid[1:]

    removed = _split(mixture, without, low, high)
    removed[0] += (1 - q) * below + q * special.ndtr((cuts[0] - 1) / sigma)
    added = _split(without[::-1], mixture[::-1], -high[::-1], -low[::-1])
    added[0] += beyond
    return LossGrid(interval, first, removed, float(beyond_mixture)), LossGrid(
        interval, -last, added, float(below)
    )


def _cell_masses(cuts: Array, mean: float, sigma: float) -> Array:
    """Normal mass between neighbouring cuts, [n - 1]; each taken on the side of the mean where it
    keeps its digits.
    """
    z = (cuts - mean) / sigma
    left, right = np.diff(special.ndtr(z)), -np.diff(special.ndtr(-z))
    return np.where(z[1:] > 0, right, left).clip(min=0.0)


def _split(mass: Array, other: Array, low: Array, high: Array) -> Array:
    """Cells with losses in [low, high] moved to their ends, keeping `mass` and, where possible,
    `other`: [n + 1].
    """
    # where clipped, more goes up than must: still a bound
    upper = (mass - other * np.exp(low.clip(max=700.0))) / -np.expm1(low - high)
    upper = upper.clip(0.0, mass)
    out = np.append(mass - upper, 0.0)
    out[1:] += upper
    return out


def _window(parts: list[tuple[LossGrid, int]]) -> tuple[int, int]:
    """Indices above the sum of the lowest points outside of which at most _WINDOW_MASS lies
    (Chernoff).
    """
    variance = top = 0.0
    moments = []
    for grid, times in parts:
        index = np.arange(len(grid.mass), dtype=float)
        mean = float(index @ grid.mass)
        variance += times * float((index - mean) ** 2 @ grid.mass)
        top += times * (len(grid.mass) - 1)
        with np.errstate(divide="ignore"):
            moments.append((index, np.log(grid.mass), times))
    # 8 standard deviations away is right for a Gaussian sum; the smaller orders are for heavy tails
    orders = 8.0 / max(np.sqrt(variance), 1e-9) * 0.5 ** np.array([0, 1, 2, 4, 6, 9, 12])
    low, high = 0.0, top
    for order in orders:
        up = sum(times * _log_moment(index, log_mass, order) for index, log_mass, times in moments)
        down = sum(
            times * _log_moment(index, log_mass, -order) for index, log_mass, times in moments
        )
        high = min(high, (up + np.log(2 / _WINDOW_MASS)) / order)
        low = max(low, -(down + np.log(2 / _WINDOW_MASS)) / order)
    return int(np.floor(low)), int(np.ceil(high))


def _log_moment(index: Array, log_mass: Array, order: float) -> float:
    """log sum exp(log_mass + order index)"""
    exponents = log_mass + order * index
    largest = float(exponents.max())
    return largest + float(np.log(np.exp(exponents - largest).sum()))
