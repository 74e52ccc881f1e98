"""Auditing with one run: m canaries, each in or out by a fair coin of its own, guessed from the
output of a single run.

Two statements about how many guesses can be right, for any way of scoring and guessing that reads
the output alone: `chance_of` under (epsilon, delta) after Steinke, Nasr, Jagielski 2023
(arxiv.org/abs/2305.08846), Theorem 5.2; `refutes` under a whole trade-off curve after Mahloujifar,
Melis, Chaudhuri 2024 (arxiv.org/abs/2410.22235), which tells more about mechanisms of Gaussian
kind: under (epsilon, delta) alone a mechanism may put all its loss on a few canaries, a Gaussian
one may not. How many guesses are made is fixed before the output is looked at; more than one number
is paid for by dividing the significance.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy import stats

from pipeline.dp.errors import MechanismError
from pipeline.dp.gaussian import gaussian_epsilon

Array = np.ndarray[Any, Any]
# h -> least chance of a false alarm, for a test that detects with chance h
Power = Callable[[float], float]
LARGEST_EPSILON = 50.0
LARGEST_MU = 40.0
_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """`correct` of `n_guesses` guesses about `coins` fair coins; on the other canaries the auditor
    abstains. Raises MechanismError for impossible numbers.
    """

    coins: int
    n_guesses: int
    correct: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.n_guesses <= self.coins or self.n_guesses < 1:
            raise MechanismError(
                f"guesses: need 0 <= correct <= n_guesses <= coins and one guess, got {self}"
            )

    @property
    def accuracy(self) -> float:
        return self.correct / self.n_guesses


def guess(scores: Array, included: Array, n_guesses: int) -> Guesses:
    """The canaries of the highest scores are said to be in, those of the lowest out, half and half.

    scores float [m], functions of the output; included bool [m], the coins. Ties fall by position,
    which no coin may have moved. Raises MechanismError for scores that are not finite, or not one
    per coin.
    """
    if scores.shape != included.shape or not np.isfinite(scores).all():
        raise MechanismError(
            f"guess: one finite score per coin, got {scores.shape} and {included.shape}"
        )
    order = np.argsort(scores, kind="stable")
    out, inside = (
        order[: n_guesses - n_guesses // 2],
        order[len(order) - n_guesses // 2 :],
    )
    return Guesses(
        coins=len(scores),
        n_guesses=n_guesses,
        correct=int((~included[out]).sum() + included[inside].sum()),
    )


def chance_of(guesses: Guesses, epsilon: float, delta: float) -> float:
    """An upper bound of the chance that an (epsilon, delta)-DP run lets anybody guess as well as
    this.

    Binomial tail at the accuracy of randomised response, plus 2 m delta times the largest mean of
    its probabilities over some numbers next below the one reached: a failure of delta may turn a
    wrong guess right (Steinke, Nasr, Jagielski 2023, Theorem 5.2). Raises MechanismError for an
    epsilon below 0 or a delta outside [0, 1].
    """
    if epsilon < 0 or not 0 <= delta <= 1:
        raise MechanismError(
            f"chance_of: epsilon must be at least 0 and delta in [0, 1], got {epsilon} and {delta}"
        )
    accuracy = 1 / (1 + math.exp(-epsilon))
    tail = float(stats.binom.sf(guesses.correct - 1, guesses.n_guesses, accuracy))
    if delta == 0 or guesses.correct == 0:
        return min(tail, 1.0)
    # from correct - 1 down
    below = stats.binom.pmf(np.arange(guesses.correct - 1, -1, -1), guesses.n_guesses, accuracy)
    worst = float((np.cumsum(below) / np.arange(1, guesses.correct + 1)).max())
    return min(tail + 2 * guesses.coins * delta * worst, 1.0)


def epsilon_bound(guesses: Guesses, delta: float, significance: float) -> float:
    """A lower bound of epsilon at this delta, wrong with chance at most `significance`; 0 where
    nothing is refuted.

    What is returned was itself refuted, and so is everything below it: less epsilon is the stronger
    claim.
    """
    return _largest(
        lambda epsilon: chance_of(guesses, epsilon, delta) <= significance, LARGEST_EPSILON
    )


def refutes(power: Power, guesses: Guesses, significance: float) -> bool:
    """Whether this many correct guesses have a chance below `significance` under a symmetric
    trade-off curve.

    Let p_j be the chance of j correct guesses among r about m coins. For a canary drawn at random,
    compare the runs where its guess is right and at least c are right in all with those where its
    coin alone was turned. One canary's curve bounds the first by the second: sum_{j >= c} (j/m) p_j
    <= F(sum_{j >= c-1} ((r-j)/m) p_j) for every c, where F is the most that a test detects with
    given false alarms; F is concave, so it may be averaged over canaries and the other coins. Among
    all laws with mass `significance` at v and more the one with that mass at v itself, and below
    only what the inequalities force, has the least total: if that passes 1 there is none.
    """
    m, r = guesses.coins, guesses.n_guesses
    # sums over j >= c of p_j, and of (j - c + 1) p_j / m
    mass, excess = significance, significance / m
    for c in range(guesses.correct, 0, -1):
        detected = excess + mass * (c - 1) / m
        mass = max(mass, (power(min(detected, 1.0)) + excess) * m / (r - c + 1))
        if mass > 1:
            return True
        excess += mass / m
    return False


def power_of_gaussian(mu: float) -> Power:
    """Of a Gaussian mechanism with sensitivity / sigma = mu: Dong, Roth, Su 2019
    (arxiv.org/abs/1905.02383).
    """

    def power(detected: float) -> float:
        if detected <= 0 or detected >= 1:
            return max(detected, 0.0)
        return _NORMAL.cdf(_NORMAL.inv_cdf(detected) - mu)

    return power


def power_of_claims(claims: Sequence[tuple[float, float]]) -> Power:
    """Of any mechanism that keeps all these (epsilon, delta) at once, for adding and for
    removing.
    """
    epsilons, deltas = np.array(claims, float).T
    small, large = np.exp(-epsilons), np.exp(epsilons)

    def power(detected: float) -> float:
        return max(
            0.0,
            float(((detected - deltas) * small).max()),
            float((1 - deltas - large * (1 - detected)).max()),
        )

    return power


def mu_bound(guesses: Guesses, significance: float) -> float:
    """A lower bound of mu for a mechanism of Gaussian kind, wrong with chance at most
    `significance`; 0 where nothing is refuted.
    """
    return _largest(lambda mu: refutes(power_of_gaussian(mu), guesses, significance), LARGEST_MU)


def gaussian_epsilon_bound(guesses: Guesses, delta: float, significance: float) -> float:
    """The epsilon at delta of the mechanism that `mu_bound` gives."""
    mu = mu_bound(guesses, significance)
    return gaussian_epsilon(mu, delta) if mu > 0 else 0.0


def _largest(refuted: Callable[[float], bool], top: float) -> float:
    """Near the largest value that is refuted, to 1e-3 and from below."""
    if not refuted(0.0):
        return 0.0
    low, high = 0.0, top
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low
