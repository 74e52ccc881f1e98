"""One-run bounds: exact where there is a closed form or a linear program, and on mechanisms of
known privacy wrong no more often than they say.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from pipeline.dp import one_run
from pipeline.dp.gaussian import gaussian_delta
from pipeline.dp.one_run import (
    Guesses,
    chance_of,
    epsilon_bound,
    guess,
    mu_bound,
    power_of_claims,
    power_of_gaussian,
    refutes,
)

RUNS = 300
SIGNIFICANCE = 0.05
# honest bounds pass this once in ten thousand
MOST_WRONG = int(stats.binom.ppf(0.9999, RUNS, SIGNIFICANCE))


def largest_tail(power, guesses: Guesses) -> float:
    """The chance that `refutes` has as its edge."""
    low, high = -12.0, 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if refutes(power, guesses, 10**middle) else (middle, high)
    return 10**high


def test_guesses_take_the_ends_and_abstain_between() -> None:
    scores, included = (
        np.array([3.0, -2.0, 0.5, 0.1, -5.0, 4.0]),
        np.array([True, False, True, False, True, True]),
    )
    assert guess(scores, included, 4) == Guesses(coins=6, n_guesses=4, correct=3)
    assert guess(scores, included, 1) == Guesses(coins=6, n_guesses=1, correct=0)
    assert guess(scores, included, 6).correct == 5


def test_ties_fall_by_position_whatever_the_coins() -> None:
    assert guess(np.zeros(4), np.array([False, False, True, True]), 4).correct == 4
    assert guess(np.zeros(4), np.array([True, True, False, False]), 4).correct == 0


@pytest.mark.parametrize(("n_guesses", "correct"), [(5, 1), (2, 3), (0, 0)])
def test_impossible_guesses_are_refused(n_guesses, correct) -> None:
    with pytest.raises(ValueError, match="guesses"):
        Guesses(coins=4, n_guesses=n_guesses, correct=correct)


def test_scores_without_a_value_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        guess(np.array([1.0, float("nan")]), np.array([True, False]), 2)


def test_without_delta_the_chance_is_randomised_response() -> None:
    for epsilon, correct in ((0.0, 7), (1.0, 9), (3.0, 10)):
        exact = (
            sum(math.comb(10, k) * math.exp(k * epsilon) for k in range(correct, 11))
            / (1 + math.exp(epsilon)) ** 10
        )
        assert chance_of(
            Guesses(coins=50, n_guesses=10, correct=correct), epsilon, 0.0
        ) == pytest.approx(exact, rel=1e-9)


def test_delta_adds_twice_its_share_of_the_worst_mean() -> None:
    p = [math.comb(5, k) / 32 for k in range(6)]
    worst = max(sum(p[4 - i : 4]) / i for i in range(1, 5))
    assert chance_of(Guesses(coins=20, n_guesses=5, correct=4), 0.0, 1e-3) == pytest.approx(
        p[4] + p[5] + 2 * 20 * 1e-3 * worst, rel=1e-9
    )
    assert chance_of(Guesses(coins=20, n_guesses=5, correct=0), 0.0, 1e-3) == 1.0


def test_one_coin_is_guessed_no_better_than_its_curve_says() -> None:
    one = Guesses(coins=1, n_guesses=1, correct=1)
    for epsilon in (0.0, 0.5, 3.0):
        assert largest_tail(power_of_claims([(epsilon, 0.0)]), one) == pytest.approx(
            1 / (1 + math.exp(-epsilon)), rel=1e-6
        )
    for mu in (0.3, 2.0):
        assert largest_tail(power_of_gaussian(mu), one) == pytest.approx(
            stats.norm.cdf(mu / 2), rel=1e-6
        )


@pytest.mark.parametrize(
    ("coins", "n_guesses", "correct"), [(6, 6, 5), (9, 4, 4), (12, 7, 5), (12, 7, 0), (5, 5, 3)]
)
def test_the_recursion_is_the_linear_program(coins, n_guesses, correct) -> None:
    """The largest mass at `correct` and more among all laws that keep every inequality, those above
    `correct` too.
    """
    claims = [(0.2, 0.2), (0.7, 0.05), (1.5, 1e-3)]
    rows, limits = [], []
    numbers = np.arange(n_guesses + 1)
    for c in range(1, n_guesses + 1):
        right, wrong = (
            (numbers >= c) * numbers / coins,
            (numbers >= c - 1) * (n_guesses - numbers) / coins,
        )
        for epsilon, delta in claims:
            rows += [right - math.exp(epsilon) * wrong, right - math.exp(-epsilon) * wrong]
            limits += [delta, 1 - math.exp(-epsilon) * (1 - delta)]
    solved = optimize.linprog(
        -(numbers >= correct).astype(float),
        A_ub=rows,
        b_ub=limits,
        A_eq=[np.ones(n_guesses + 1)],
        b_eq=[1.0],
    )
    assert largest_tail(
        power_of_claims(claims), Guesses(coins=coins, n_guesses=n_guesses, correct=correct)
    ) == pytest.approx(-solved.fun, rel=1e-5)


def test_the_curve_of_many_claims_is_the_gaussian_one() -> None:
    mu = 1.3
    many = power_of_claims(
        [(epsilon, gaussian_delta(epsilon, mu)) for epsilon in np.linspace(0, 12, 400)]
    )
    for detected in (0.001, 0.1, 0.5, 0.9, 0.999):
        assert (
            power_of_gaussian(mu)(detected) * (1 - 2e-3) - 1e-9
            <= many(detected)
            <= power_of_gaussian(mu)(detected) * (1 + 1e-9) + 1e-12
        )
    few = power_of_claims([(1.0, gaussian_delta(1.0, mu))])
    assert few(0.5) < many(0.5)  # a single pair claims less


def test_a_mechanism_that_may_reveal_everybody_is_not_refuted_below_that_chance() -> None:
    """With chance delta all coins come out: (0, delta)-DP, and the canaries are anything but
    independent.
    """
    everybody = Guesses(coins=100, n_guesses=100, correct=100)
    for delta in (0.01, 0.2):
        assert not refutes(power_of_claims([(0.0, delta)]), everybody, 0.99 * delta)
        assert refutes(power_of_claims([(0.0, delta)]), everybody, 1.1 * delta)
        assert chance_of(everybody, 0.0, delta) >= delta


def coverage(draw, wrong, coins: int = 400, n_guesses: int = 400) -> None:
    rng = np.random.default_rng(5)
    n_wrong = 0
    for _ in range(RUNS):
        included = rng.random(coins) < 0.5
        n_wrong += wrong(guess(draw(rng, included), included, n_guesses))
    assert n_wrong <= MOST_WRONG


def randomised_response(epsilon: float):
    def draw(rng, included):
        truthful = rng.random(len(included)) < 1 / (1 + math.exp(-epsilon))
        return np.where(included == truthful, 1.0, -1.0) + 1e-3 * rng.random(len(included))

    return draw


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
@pytest.mark.parametrize("n_guesses", [400, 100])
def test_bounds_of_randomised_response_are_seldom_wrong(epsilon, n_guesses) -> None:
    coverage(
        randomised_response(epsilon),
        lambda guesses: chance_of(guesses, epsilon, 0.0) <= SIGNIFICANCE,
        n_guesses=n_guesses,
    )
    coverage(
        randomised_response(epsilon),
        lambda guesses: refutes(power_of_claims([(epsilon, 0.0)]), guesses, SIGNIFICANCE),
        n_guesses=n_guesses,
    )


@pytest.mark.parametrize("mu", [0.3, 1.5])
@pytest.mark.parametrize("n_guesses", [400, 100])
def test_bounds_of_a_gaussian_are_seldom_wrong(mu, n_guesses) -> None:
    def draw(rng, included):
        return mu * included + rng.normal(size=len(included))

    coverage(
        draw,
        lambda guesses: refutes(power_of_gaussian(mu), guesses, SIGNIFICANCE),
        n_guesses=n_guesses,
    )
    coverage(
        draw,
        lambda guesses: chance_of(guesses, 4 * mu, gaussian_delta(4 * mu, mu)) <= SIGNIFICANCE,
        n_guesses=n_guesses,
    )


def test_bounds_come_near_what_is_true_and_rise_with_it() -> None:
    rng = np.random.default_rng(3)
    included = rng.random(4000) < 0.5
    for epsilon in (1.0, 2.0):
        guesses = guess(randomised_response(epsilon)(rng, included), included, 4000)
        assert 0.8 * epsilon < epsilon_bound(guesses, 0.0, SIGNIFICANCE) < 1.1 * epsilon
    bounds = [
        mu_bound(guess(mu * included + rng.normal(size=4000), included, 1000), SIGNIFICANCE)
        for mu in (0.2, 1.0, 5.0)
    ]
    assert 0 < bounds[0] < 0.25 < bounds[1] < 1.1 and bounds[1] < bounds[2]


def test_less_noise_than_claimed_is_refuted() -> None:
    rng = np.random.default_rng(4)
    included = rng.random(1000) < 0.5
    without = guess(included + 1e-6 * rng.normal(size=1000), included, 500)
    assert refutes(power_of_gaussian(0.25), without, 1e-6)
    assert not refutes(
        power_of_gaussian(0.25), guess(0.25 * included + rng.normal(size=1000), included, 500), 1e-4
    )


def test_nothing_is_bounded_by_bare_chance() -> None:
    half = Guesses(coins=1000, n_guesses=1000, correct=500)
    assert (
        epsilon_bound(half, 1e-6, SIGNIFICANCE)
        == mu_bound(half, SIGNIFICANCE)
        == one_run.gaussian_epsilon_bound(half, 1e-6, SIGNIFICANCE)
        == 0.0
    )


def test_a_claim_that_makes_no_sense_is_refused() -> None:
    for epsilon, delta in ((-1.0, 0.0), (1.0, 1.5)):
        with pytest.raises(ValueError, match="chance_of"):
            chance_of(Guesses(coins=4, n_guesses=2, correct=1), epsilon, delta)
