"""Auditing with many independent runs, each with canaries by coins of their own, guessed by an
adversary who knows everything but the one coin.

In one run, guesses of many coins may all be right or wrong together, so a single run proves little
however many coins it has (`pipeline.dp.one_run`). Here one run is one observation: by how much its
right guesses outweigh its wrong ones. Its mean is at most the total variation distance of two
neighbours, for every way of guessing one coin from the outputs, all other coins and all other
patients' samples: so the definition of differential privacy has it (Kairouz, Oh, Viswanath 2015,
arxiv.org/abs/1311.0776, with a prior of one half), canary by canary, and means add up however the
canaries of a run hang together. What independent runs prove of that mean is found by betting
(Waudby-Smith and Ramdas 2024, arxiv.org/abs/2010.09686): no distribution is assumed, and many
canaries help because they leave a run's mean little variance.
"""

from __future__ import annotations

import math
from typing import Any

import dp_accounting as dpa
import numpy as np
from scipy import stats

from pipeline.dp.accounting import epsilon
from pipeline.dp.audit import least_noise_factor, with_noise
from pipeline.dp.errors import MechanismError
from pipeline.dp.tradeoff import TradeOff

Array = np.ndarray[Any, Any]
_LARGEST_STAKE = 0.95  # of what a bet may lose at most
_PRIOR_VARIANCE = 1 / 16  # of a run's advantage, before any is seen


def advantage(guesses: Array, included: Array) -> float:
    """Of one run: the share of right guesses less that of wrong ones, in [-1, 1].

    guesses bool [m], made of each coin without reading it; included bool [m], the coins. Raises
    MechanismError for other shapes, or none.
    """
    if guesses.shape != included.shape or guesses.ndim != 1 or not len(guesses):
        raise MechanismError(
            f"advantage: one guess per coin, got {guesses.shape} and {included.shape}"
        )
    return float(2 * (guesses == included).mean() - 1)


def advantage_bound(advantages: Array, significance: float) -> float:
    """A lower bound of the mean advantage, wrong with chance at most `significance`; -1 where
    nothing is refuted.

    advantages float [n], of independent runs in their order, each in [-1, 1]. Raises MechanismError
    for others.
    """
    if advantages.ndim != 1 or not len(advantages) or not (np.abs(advantages) <= 1).all():
        raise MechanismError("advantages must be a column of numbers in [-1, 1]")
    if _wealth(advantages, -1.0, significance) < math.log(1 / significance):
        return -1.0
    low, high = -1.0, 1.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        refuted = _wealth(advantages, middle, significance) >= math.log(1 / significance)
        low, high = (middle, high) if refuted else (low, middle)
    return low


def _wealth(advantages: Array, mean: float, significance: float) -> float:
    """Logarithm of the largest wealth on the way of who bets that the mean lies above `mean`. Where
    it does not, wealth is a supermartingale that starts at 1: Ville's inequality.

    Each stake follows from the runs before it.
    """
    n, places = len(advantages), np.arange(1, len(advantages) + 1)
    centres = np.cumsum(advantages) / places
    spread = _PRIOR_VARIANCE + np.cumsum((advantages - centres) ** 2)
    variance = np.concatenate([[_PRIOR_VARIANCE], spread / (places + 1)])[:n]
    stake = np.sqrt(2 * math.log(1 / significance) / (n * variance)).clip(
        max=_LARGEST_STAKE / (1 + mean) if mean > -1 else np.inf
    )
    return float(np.cumsum(np.log1p(stake * (advantages - mean))).max())


def is_refuted(advantages: Array, claim: TradeOff, significance: float) -> bool:
    """Whether no mechanism that keeps the claim leaves these advantages a chance above
    `significance`.
    """
    return advantage_bound(advantages, significance) > claim.advantage


def student_bound(advantages: Array, significance: float) -> float:
    """A lower bound of the mean advantage by Student's t; -1 for a single run.

    Near `significance` where the means of as many runs are normal. A rare run that tells nothing
    makes it wrong, so nothing is refuted by it.
    """
    n = len(advantages)
    if n < 2:
        return -1.0
    spread = float(np.std(advantages, ddof=1)) / math.sqrt(n)
    return float(advantages.mean()) - float(stats.t.ppf(1 - significance, n - 1)) * spread


def family_epsilon(bound: float, claim: dpa.DpEvent, delta: float) -> float:
    """The smallest epsilon at `delta` of the claimed event with its noise multiplied by a factor
    that allows a mean advantage of `bound`, as `pipeline.dp.audit.family_epsilon` says it of hits;
    0 where any does.
    """
    factor = least_noise_factor(lambda curve: bound > curve.advantage, claim)
    return 0.0 if factor == math.inf else epsilon(with_noise(claim, factor), delta)
