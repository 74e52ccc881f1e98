"""Empirical lower bounds on epsilon, from a mechanism's scores on two neighbours.

Scores: one number for each run of the mechanism, larger where "the patient was there" is likelier;
    any function of the output may be the score. A threshold is chosen on the first half of the
    runs; how often scores reach it is counted on the second half, and these counts get exact
    confidence limits (Clopper and Pearson 1934). So what is said holds whatever the scores are.

Two bounds. `free_epsilon` assumes nothing about the mechanism, and cannot say more than about log
of the number of runs. `family_epsilon` takes the mechanism to be the claimed one with all noise
multiplied by an unknown factor, and asks which factors the counts contradict: Nasr, Hayes, Steinke,
Balle, Tramer, Jagielski, Carlini, Terzis 2023, "Tight auditing of differentially private machine
learning" (arxiv.org/abs/2302.07956). To contradict the claim itself (factor 1) no assumption is
needed: its trade-off bounds every test.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dp_accounting as dpa
import numpy as np
from scipy import special

from pipeline.dp.accounting import epsilon
from pipeline.dp.errors import MechanismError
from pipeline.dp.events import (
    DiscreteGaussianDpEvent,
    ExponentialMechanismDpEvent,
    composed,
    flatten,
)
from pipeline.dp.tradeoff import TradeOff, tradeoff

Array = np.ndarray[Any, Any]

_MOST_THRESHOLDS = 256
# confidence of limits by which a threshold is chosen: high, so that a lucky tail is not preferred
# to many runs
_CHOOSING = 0.9999
_NOISE_FACTORS = (2.0**-3, 2.0**8)  # of the claimed noise; powers of 2
_FACTOR_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Hits:
    """How many of the held-out runs scored at least the threshold."""

    threshold: float
    hits_with: int  # of runs with the patient
    runs_with: int
    hits_without: int
    runs_without: int

    def limits(self, confidence: float) -> tuple[float, float]:
        """(power at least, false alarms at most): both hold together with `confidence`, each with
        half of what is left (Bonferroni).
        """
        each = 1 - (1 - confidence) / 2
        return (
            float(at_least(self.hits_with, self.runs_with, each)),
            float(at_most(self.hits_without, self.runs_without, each)),
        )


def at_least(hits: Array | int, runs: int, confidence: float) -> Array:
    """Lower limit of the chance of a hit, of the shape of `hits`: Clopper and Pearson 1934."""
    hits = np.asarray(hits)
    return np.where(
        hits == 0, 0.0, special.betaincinv(np.maximum(hits, 1), runs - hits + 1, 1 - confidence)
    )


def at_most(hits: Array | int, runs: int, confidence: float) -> Array:
    """Upper limit of the chance of a hit, of the shape of `hits`: Clopper and Pearson 1934."""
    return 1 - at_least(runs - np.asarray(hits), runs, confidence)


def hits(with_patient: Array, without_patient: Array, claim: dpa.DpEvent) -> Hits:
    """The second half of the runs at the threshold where the first half contradicts most: the
    claimed event with the least noise.

    with_patient [n], without_patient [m]: scores of independent runs, n and m at least 4. Raises
    MechanismError for fewer, for scores that are not numbers, or an event that cannot be accounted.
    """
    (first, second), (first_without, second_without) = (
        _halves(with_patient),
        _halves(without_patient),
    )
    thresholds = _thresholds(first, first_without)
    power = at_least(_reached(first, thresholds), len(first), _CHOOSING)
    alarms = at_most(_reached(first_without, thresholds), len(first_without), _CHOOSING)
    factor = least_noise_factor(
        lambda curve: bool((power > curve.largest_power(alarms)).any()), claim
    )
    excess = power - tradeoff(with_noise(claim, min(factor, _NOISE_FACTORS[1]))).largest_power(
        alarms
    )
    threshold = float(thresholds[int(np.argmax(excess))])
    return Hits(
        threshold=threshold,
        hits_with=int((second >= threshold).sum()),
        runs_with=len(second),
        hits_without=int((second_without >= threshold).sum()),
        runs_without=len(second_without),
    )


def is_contradicted(counts: Hits, claim: TradeOff, confidence: float) -> bool:
    """Whether no mechanism that keeps the claim gives such counts; wrong with chance at most 1 -
    confidence.
    """
    power, alarms = counts.limits(confidence)
    return power > float(claim.largest_power(alarms))


def family_epsilon(counts: Hits, claim: dpa.DpEvent, delta: float, confidence: float) -> float:
    """The smallest epsilon at `delta` of the claimed event with its noise multiplied by a factor
    that the counts do not contradict.

    A lower bound with `confidence` where the mechanism is of that family: more noise never allows a
    test more. Goes from an eighth of the claimed noise, whose epsilon is the most that is ever
    said, to 256 times.
    """
    factor = least_noise_factor(lambda curve: is_contradicted(counts, curve, confidence), claim)
    return 0.0 if factor == math.inf else epsilon(with_noise(claim, factor), delta)


def least_noise_factor(contradicts: Callable[[TradeOff], bool], claim: dpa.DpEvent) -> float:
    """The least factor on the claim's noise, within _FACTOR_TOLERANCE, at which it is contradicted;
    infinity where it never is.
    """

    def at(factor: float) -> bool:
        return contradicts(tradeoff(with_noise(claim, factor)))

    least, most = _NOISE_FACTORS
    low = high = 1.0
    while not at(high):
        if high == most:
            return math.inf
        low, high = high, 2 * high
    while low == high and low > least:
        low = low / 2
        if at(low):
            high = low
    while high / low > 1 + _FACTOR_TOLERANCE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if at(middle) else (middle, high)
    return high


def free_epsilon(
    with_patient: Array, without_patient: Array, delta: float, confidence: float
) -> float:
    """The largest log((power - delta) / false alarms) that the runs prove, of tests for the
    patient's presence and for absence; at least 0.

    A lower bound with `confidence` for every mechanism: each of its four limits gets a quarter of
    what is left (Bonferroni).
    """
    each = 1 - (1 - confidence) / 4
    present = _free_bound(_halves(with_patient), _halves(without_patient), delta, each)
    absent = _free_bound(_halves(-without_patient), _halves(-with_patient), delta, each)
    return max(0.0, present, absent)


def with_noise(event: dpa.DpEvent, factor: float) -> dpa.DpEvent:
    """The event with every noise scale multiplied by `factor`, a pick's epsilon divided by it;
    sampling and the number of steps stay.

    >>> with_noise(DiscreteGaussianDpEvent(2.0), 1.5).events[0].event
    DiscreteGaussianDpEvent(sigma=3.0)
    """
    return composed(
        dpa.SelfComposedDpEvent(_louder(leaf, factor), times)
        for leaf, times in flatten(event).items()
    )


def _louder(leaf: dpa.DpEvent, factor: float) -> dpa.DpEvent:
    if isinstance(leaf, DiscreteGaussianDpEvent):
        return DiscreteGaussianDpEvent(leaf.sigma * factor)
    if isinstance(leaf, ExponentialMechanismDpEvent):
        return ExponentialMechanismDpEvent(leaf.epsilon / factor)
    if isinstance(leaf, dpa.PoissonSampledDpEvent):
        return dpa.PoissonSampledDpEvent(leaf.sampling_probability, _louder(leaf.event, factor))
    return dpa.GaussianDpEvent(leaf.noise_multiplier * factor)


def _free_bound(
    positive: tuple[Array, Array], negative: tuple[Array, Array], delta: float, each: float
) -> float:
    """log((power - delta) / false alarms) at the threshold that is best on the first halves, from
    limits on the second.
    """
    thresholds = _thresholds(positive[0], negative[0])
    best = int(np.argmax(_log_ratio(positive[0], negative[0], thresholds, delta, each)))
    return float(_log_ratio(positive[1], negative[1], thresholds[best : best + 1], delta, each)[0])


def _log_ratio(
    positive: Array, negative: Array, thresholds: Array, delta: float, each: float
) -> Array:
    power = at_least(_reached(positive, thresholds), len(positive), each)
    alarms = at_most(_reached(negative, thresholds), len(negative), each)
    return np.log(np.maximum(power - delta, 1e-300) / alarms)


def _reached(scores: Array, thresholds: Array) -> Array:
    """How many scores are at least each threshold, [t]."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")


def _thresholds(positive: Array, negative: Array) -> Array:
    """Candidates: quantiles of both samples, rising."""
    shares = np.linspace(0.0, 1.0, _MOST_THRESHOLDS // 2)
    return np.unique(
        np.concatenate(
            [np.quantile(scores, shares, method="nearest") for scores in (positive, negative)]
        )
    )


def _halves(scores: Array) -> tuple[Array, Array]:
    if scores.ndim != 1 or len(scores) < 4:
        raise MechanismError(f"scores must be a column of 4 or more runs, got shape {scores.shape}")
    if np.isnan(scores).any():
        raise MechanismError("a score is not a number")
    middle = len(scores) // 2
    return scores[:middle], scores[middle:]
