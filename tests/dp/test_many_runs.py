"""Bounds from many runs: they hold for whatever the canaries of a run have in common, and come near
the claim where there are many runs.
"""

from __future__ import annotations

from statistics import NormalDist

import dp_accounting as dpa
import numpy as np
import pytest

from pipeline.dp import many_runs
from pipeline.dp.accounting import epsilon
from pipeline.dp.errors import MechanismError
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.dp.tradeoff import tradeoff

ALPHA = 0.05


def gaussian_runs(mu: float, runs: int, canaries: int, rng: np.random.Generator) -> np.ndarray:
    coins = rng.random((runs, canaries)) < 0.5
    scores = mu * (coins - 0.5) + rng.standard_normal((runs, canaries))
    return np.array(
        [many_runs.advantage(score > 0, coin) for score, coin in zip(scores, coins, strict=True)]
    )


def test_an_advantage_is_the_share_of_right_guesses_less_that_of_wrong_ones() -> None:
    coins = np.array([True, True, False, False])
    assert many_runs.advantage(coins, coins) == 1.0
    assert many_runs.advantage(~coins, coins) == -1.0
    assert many_runs.advantage(np.array([True, True, True, False]), coins) == 0.5
    with pytest.raises(MechanismError):
        many_runs.advantage(coins[:3], coins)


@pytest.mark.parametrize("mu", [0.5, 2.0])
def test_the_largest_advantage_is_the_total_variation(mu: float) -> None:
    """Dong, Roth, Su 2019, for a Gaussian: 2 Phi(mu / 2) - 1."""
    expected = 2 * NormalDist().cdf(mu / 2) - 1
    advantage = tradeoff(dpa.GaussianDpEvent(1 / mu)).advantage
    assert expected <= advantage <= expected + 1e-3
    alarms = np.linspace(0, 1, 1001)
    curve = tradeoff(dpa.GaussianDpEvent(1 / mu))
    assert (curve.largest_power(alarms) - alarms).max() <= advantage + 1e-9


def test_many_runs_come_near_the_claim_and_never_pass_it() -> None:
    """The bound is asked at 1e-9; the mean lies below it by chance with less than that."""
    rng, sigma = np.random.default_rng(3), 1.0
    event = DiscreteGaussianDpEvent(sigma)
    truth = 2 * NormalDist().cdf(0.5) - 1  # a Gaussian: no discrete one of this sigma tells more
    seen = gaussian_runs(1.0, 400, 100, rng)
    assert truth - 0.1 < many_runs.advantage_bound(seen, 1e-9) < truth
    assert not many_runs.is_refuted(seen, tradeoff(event), 1e-9)
    shown = many_runs.family_epsilon(many_runs.advantage_bound(seen, 1e-9), event, 1e-6)
    assert 0.75 * epsilon(event, 1e-6) < shown < epsilon(event, 1e-6)
    # half of the noise that is claimed
    assert many_runs.is_refuted(gaussian_runs(2.0, 400, 100, rng), tradeoff(event), 1e-9)


def test_canaries_that_are_right_or_wrong_together_refute_nothing_true() -> None:
    """One answer for all canaries of a run, right with chance 0.6: the mean advantage is 0.2."""
    rng, false_alarms = np.random.default_rng(4), 0
    for _ in range(400):
        together = np.where(rng.random(60) < 0.6, 1.0, -1.0)
        false_alarms += many_runs.advantage_bound(together, ALPHA) > 0.2
    assert false_alarms <= 50  # binomial(400, 0.05): more has a chance below 1e-7


def test_a_rare_run_that_tells_nothing_is_paid_for() -> None:
    """29 equal runs cannot rule out that one in a hundred is all wrong."""
    assert many_runs.advantage_bound(np.full(29, 0.5), ALPHA) < 0.5 - 0.01
    assert many_runs.advantage_bound(np.full(3000, 0.5), ALPHA) > 0.5 - 0.01
    assert many_runs.advantage_bound(np.full(2, 0.5), 1e-6) == -1.0


def test_students_t_is_nearer_and_trusts_that_no_rare_run_tells_nothing() -> None:
    seen = np.tile([0.4, 0.6], 50)
    exact, approximate = (
        bound(seen, ALPHA) for bound in (many_runs.advantage_bound, many_runs.student_bound)
    )
    # t of 99 degrees of freedom at 95%: 1.6604; standard deviation 0.1005
    assert exact < approximate == pytest.approx(0.5 - 1.6604 * 0.1005 / 10, abs=1e-4)
    assert many_runs.student_bound(np.array([0.5]), ALPHA) == -1.0


@pytest.mark.parametrize("wrong", [np.zeros(0), np.array([1.5]), np.array([np.nan])])
def test_impossible_advantages_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(MechanismError):
        many_runs.advantage_bound(wrong, ALPHA)
