"""Lower bounds on epsilon: closed forms, and how often they pass the truth."""

import math

import dp_accounting as dpa
import numpy as np
import pytest
from scipy import special, stats

from pipeline.dp import audit
from pipeline.dp.accounting import epsilon
from pipeline.dp.events import DiscreteGaussianDpEvent, composed
from pipeline.dp.gaussian import gaussian_delta, gaussian_epsilon
from pipeline.dp.tradeoff import tradeoff

DELTA = 1e-6


def gaussians(
    mu: float, runs: int, rng: np.random.Generator, shares: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a Gaussian with sensitivity / sigma = mu, the patient joining with chance
    `shares`.
    """
    joined = rng.random(runs) < shares
    return mu * joined + rng.normal(size=runs), rng.normal(size=runs)


@pytest.mark.parametrize("mu", [0.25, 1.0, 2.0])
def test_the_trade_off_of_a_gaussian_is_its_closed_form(mu: float) -> None:
    """Dong, Roth, Su 2022, equation 6: power = Phi(Phi^-1(alarm) + mu)."""
    alarms = np.array([1e-5, 1e-3, 0.05, 0.3, 0.5, 0.9, 0.999])
    wanted = special.ndtr(special.ndtri(alarms) + mu)
    got = tradeoff(dpa.GaussianDpEvent(1 / mu)).largest_power(alarms)
    assert (got >= wanted - 1e-12).all()
    np.testing.assert_allclose(got, wanted, rtol=2e-3)


@pytest.mark.parametrize(
    "event",
    [
        DiscreteGaussianDpEvent(0.5),
        DiscreteGaussianDpEvent(4.0),
        dpa.PoissonSampledDpEvent(0.2, dpa.GaussianDpEvent(0.8)),
        composed(
            [
                DiscreteGaussianDpEvent(3.0),
                dpa.SelfComposedDpEvent(
                    dpa.PoissonSampledDpEvent(0.1, dpa.GaussianDpEvent(1.0)), 5
                ),
            ]
        ),
    ],
)
def test_the_trade_off_and_the_accounting_agree(event: dpa.DpEvent) -> None:
    """At (epsilon, delta) of the accounting, power - e^epsilon alarm is delta at most; at a smaller
    epsilon some test passes delta.
    """
    curve, found = tradeoff(event), epsilon(event, DELTA)
    alarms = np.concatenate([[0.0], np.logspace(-12, 0, 400)])
    power = curve.largest_power(alarms)
    assert (power - math.exp(found) * alarms).max() <= DELTA * 1.01
    assert (power - math.exp(0.97 * found) * alarms).max() > DELTA
    assert (np.diff(power) >= -1e-12).all() and power[-1] == 1.0 and (power >= alarms - 1e-12).all()


@pytest.mark.parametrize("q", [0.05, 0.5])
def test_the_trade_off_of_a_sampled_gaussian_is_reached_by_its_best_test(q: float) -> None:
    sigma = 0.9
    cuts = np.linspace(-3, 4, 50)
    alarms = special.ndtr(-cuts / sigma)
    power = (1 - q) * alarms + q * special.ndtr((1 - cuts) / sigma)
    got = tradeoff(dpa.PoissonSampledDpEvent(q, dpa.GaussianDpEvent(sigma))).largest_power(alarms)
    assert (got >= power - 1e-12).all()
    np.testing.assert_allclose(got, power, rtol=2e-3)


def test_the_trade_off_of_a_discrete_gaussian_is_reached_at_whole_numbers() -> None:
    sigma, x = 0.7, np.arange(-40, 41)
    mass = np.exp(-(x**2) / (2 * sigma**2))
    tail = np.cumsum((mass / mass.sum())[::-1])[::-1]  # of noise >= x
    got = tradeoff(DiscreteGaussianDpEvent(sigma)).largest_power(tail[36:46])
    np.testing.assert_allclose(got, tail[35:45], rtol=2e-3)


@pytest.mark.parametrize(("hits", "runs"), [(0, 50), (3, 50), (50, 50), (49, 50)])
def test_limits_are_those_of_clopper_and_pearson(hits: int, runs: int) -> None:
    interval = stats.binomtest(hits, runs).proportion_ci(confidence_level=0.9, method="exact")
    assert audit.at_least(hits, runs, 0.95) == pytest.approx(interval.low)
    assert audit.at_most(hits, runs, 0.95) == pytest.approx(interval.high)


def test_limits_at_the_confidence_of_a_verdict_keep_their_digits() -> None:
    """1 - 1e-6, and closed forms: no hit in n runs leaves 1 - alpha^(1/n)."""
    assert audit.at_most(0, 1000, 1 - 1e-6) == pytest.approx(
        -math.expm1(math.log(1e-6) / 1000), rel=1e-6
    )
    assert audit.at_least(1000, 1000, 1 - 1e-6) == pytest.approx(
        math.exp(math.log(1e-6) / 1000), rel=1e-9
    )


def test_a_mechanism_that_tells_all_is_told_by_the_number_of_runs() -> None:
    """Closed form: all of 500 held-out runs on either side, each limit at 1 - 0.05 / 4."""
    found = audit.free_epsilon(np.ones(1000), np.zeros(1000), 0.0, 0.95)
    kept = 0.0125 ** (1 / 500)
    assert found == pytest.approx(math.log(kept / (1 - kept)))


def test_the_family_bound_in_closed_form() -> None:
    """Of a Gaussian: epsilon of mu = Phi^-1(power) - Phi^-1(alarms), with each limit at 97.5%."""
    found = audit.Hits(
        threshold=0.0, hits_with=8000, runs_with=10_000, hits_without=3000, runs_without=10_000
    )
    power, alarms = found.limits(0.95)
    mu = float(special.ndtri(power) - special.ndtri(alarms))
    assert audit.family_epsilon(found, dpa.GaussianDpEvent(3.0), DELTA, 0.95) == pytest.approx(
        gaussian_epsilon(mu, DELTA), rel=3e-3
    )


def test_scores_that_tell_nothing_prove_nothing() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 4000))
    claim = dpa.GaussianDpEvent(4.0)
    assert audit.family_epsilon(audit.hits(*scores, claim), claim, DELTA, 0.95) < 0.15
    assert audit.free_epsilon(*scores, DELTA, 0.95) < 0.15


@pytest.mark.parametrize(
    "scores", [np.zeros(3), np.zeros((4, 4)), np.array([0.0, 1.0, np.nan, 2.0])]
)
def test_unfit_scores_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match="score"):
        audit.free_epsilon(scores, np.zeros(8), DELTA, 0.95)


CASES = [(0.25, 1.0), (1.0, 1.0), (0.8, 0.2)]


def passed(mu: float, q: float, repeats: int) -> dict[str, int]:
    """How often each bound with 80% confidence passes the truth."""
    rng, claim = np.random.default_rng(7), dpa.PoissonSampledDpEvent(q, dpa.GaussianDpEvent(1 / mu))
    curve, truth = tradeoff(claim), epsilon(claim, DELTA)
    family = free = 0
    for _ in range(repeats):
        scores = gaussians(mu, 1000, rng, q)
        family += audit.is_contradicted(audit.hits(*scores, claim), curve, 0.8)
        free += audit.free_epsilon(*scores, DELTA, 0.8) > truth
    return {"family": family, "free": free}


@pytest.mark.parametrize(("mu", "q"), CASES)
def test_bounds_pass_the_truth_in_no_more_than_their_share_of_runs(mu: float, q: float) -> None:
    assert max(passed(mu, q, 40).values()) <= stats.binom.ppf(1 - 1e-6, 40, 0.2)


@pytest.mark.long
@pytest.mark.parametrize(("mu", "q"), CASES)
def test_bounds_pass_the_truth_in_no_more_than_their_share_of_many_runs(
    mu: float, q: float
) -> None:
    assert max(passed(mu, q, 600).values()) <= stats.binom.ppf(1 - 1e-6, 600, 0.2)


def test_the_free_bound_holds_at_the_epsilon_of_a_pure_mechanism() -> None:
    """Randomised response of epsilon 1, where the bound is tight: it passes 1 in no more than its
    share of runs, and comes close.
    """
    rng, truth = np.random.default_rng(8), 1.0
    chance = math.exp(truth) / (1 + math.exp(truth))
    found = np.array(
        [
            audit.free_epsilon(
                (rng.random(4000) < chance).astype(float),
                (rng.random(4000) >= chance).astype(float),
                0.0,
                0.8,
            )
            for _ in range(300)
        ]
    )
    assert (found > truth).sum() <= stats.binom.ppf(1 - 1e-6, 300, 0.2)
    assert found.mean() > 0.85


@pytest.mark.parametrize("mu", [0.25, 1.9])
def test_halved_noise_is_contradicted_and_the_claim_is_not(mu: float) -> None:
    rng, claim = np.random.default_rng(9), dpa.GaussianDpEvent(1 / mu)
    curve = tradeoff(claim)
    honest, halved = (audit.hits(*gaussians(factor * mu, 20_000, rng), claim) for factor in (1, 2))
    assert not audit.is_contradicted(honest, curve, 1 - 1e-6)
    assert audit.is_contradicted(halved, curve, 1 - 1e-6)
    truth = gaussian_epsilon(mu, DELTA)
    assert 0.8 * truth < audit.family_epsilon(honest, claim, DELTA, 0.95) < 1.05 * truth
    assert audit.family_epsilon(halved, claim, DELTA, 1 - 1e-6) > truth
    assert gaussian_delta(truth, mu) == pytest.approx(DELTA, rel=1e-3)
