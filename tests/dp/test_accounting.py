"""Accounting against closed forms, direct convolution, dp_accounting and Opacus; calibration; the
Renyi bound.
"""

import math
import warnings

import dp_accounting as dpa
import numpy as np
import pytest
from scipy import optimize

from pipeline.dp import pld
from pipeline.dp.accounting import calibrate, epsilon, round_sigma_up
from pipeline.dp.events import DiscreteGaussianDpEvent, flatten
from pipeline.dp.gaussian import gaussian_delta, gaussian_epsilon
from pipeline.dp.renyi import epsilon_of_rdp, rdp, rdp_bound

CLOSE = 2e-3  # the grid may add this much, relatively


def sgd(q: float, sigma: float, steps: int) -> dpa.DpEvent:
    return dpa.SelfComposedDpEvent(dpa.PoissonSampledDpEvent(q, dpa.GaussianDpEvent(sigma)), steps)


def balle_wang(mu: float, delta: float) -> float:
    return float(optimize.brentq(lambda e: gaussian_delta(e, mu) - delta, 0, 500))


@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0, 30.0, 80.0])
@pytest.mark.parametrize("times", [1, 25])
@pytest.mark.parametrize("delta", [1e-5, 1e-8])
def test_gaussians_meet_the_closed_form_from_above(sigma: float, times: int, delta: float) -> None:
    exact = balle_wang(math.sqrt(times) / sigma, delta)
    found = epsilon(dpa.SelfComposedDpEvent(dpa.GaussianDpEvent(sigma), times), delta)
    assert exact <= found <= exact * (1 + CLOSE) + 1e-4
    assert gaussian_epsilon(math.sqrt(times) / sigma, delta) == pytest.approx(exact, rel=1e-9)


def discrete_gaussian_delta(sigma: float, at: float) -> float:
    """sum over x of max(0, P(x) - e^eps P(x - 1)): the definition."""
    x = np.arange(-int(40 * sigma) - 5, int(40 * sigma) + 6)
    mass = np.exp(-(x.astype(float) ** 2) / (2 * sigma**2))
    mass /= mass.sum()
    return float(np.maximum(mass[:-1] - math.exp(at) * mass[1:], 0).sum())


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5, 12.0, 100.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-8])
def test_one_discrete_gaussian_meets_the_definition_from_above(sigma: float, delta: float) -> None:
    exact = (
        optimize.brentq(lambda e: discrete_gaussian_delta(sigma, e) - delta, 0, 200)
        if discrete_gaussian_delta(sigma, 0) > delta
        else 0.0
    )
    found = epsilon(DiscreteGaussianDpEvent(sigma), delta)
    assert exact - 1e-12 <= found <= exact * (1 + CLOSE) + 1e-4


def test_composed_discrete_gaussians_meet_direct_convolution() -> None:
    """Exact losses (1 - 2x) / (2 sigma^2) with sigma^2 = 4: all blocks share one lattice, so plain
    convolution is exact.
    """
    sigma, times = 2.0, 12
    x = np.arange(-60, 61)
    mass = np.exp(-(x.astype(float) ** 2) / (2 * sigma**2))
    mass /= mass.sum()
    total = np.ones(1)
    for _ in range(times):
        total = np.convolve(total, mass)
    losses = (times - 2 * np.arange(-60 * times, 60 * times + 1)) / (2 * sigma**2)
    for delta in (1e-5, 1e-8, 1e-9):
        exact = optimize.brentq(
            lambda e, d=delta: float((total * np.maximum(0, 1 - np.exp(e - losses))).sum()) - d,
            0,
            60,
        )
        found = epsilon(dpa.SelfComposedDpEvent(DiscreteGaussianDpEvent(sigma), times), delta)
        assert exact <= found <= exact * (1 + CLOSE)


def test_blocks_are_composed_not_merged_into_one_gaussian() -> None:
    """Privacy rule 11: the discrete blocks have their own loss; at small sigma it differs from that
    of one Gaussian of equal variance.
    """
    assert abs(epsilon(DiscreteGaussianDpEvent(0.5), 1e-6) / balle_wang(1 / 0.5, 1e-6) - 1) > 0.05


@pytest.mark.parametrize(
    ("q", "sigma", "steps"),
    [(0.02, 1.45, 400), (0.01, 0.8, 300), (0.001, 0.6, 500), (0.5, 5.0, 100), (0.9999, 3.0, 3)],
)
@pytest.mark.parametrize("delta", [1e-6, 1e-8])
def test_dp_sgd_agrees_with_dp_accounting(q: float, sigma: float, steps: int, delta: float) -> None:
    theirs = (
        dpa.pld.PLDAccountant(value_discretization_interval=2e-4)
        .compose(sgd(q, sigma, steps))
        .get_epsilon(delta)
    )
    assert epsilon(sgd(q, sigma, steps), delta) == pytest.approx(theirs, rel=2e-3, abs=2e-4)


def test_the_joint_event_agrees_with_dp_accounting() -> None:
    sigmas = (9.0, 14.5, 30.0)
    joint = dpa.ComposedDpEvent(
        [
            *[dpa.SelfComposedDpEvent(DiscreteGaussianDpEvent(s), 8) for s in sigmas],
            sgd(0.02, 2.0, 200),
        ]
    )
    h = 1e-3
    theirs = dpa.pld.privacy_loss_distribution.from_gaussian_mechanism(
        2.0, value_discretization_interval=h, sampling_prob=0.02
    ).self_compose(200)
    for s in sigmas:
        block = dpa.pld.privacy_loss_distribution.from_discrete_gaussian_mechanism(
            s, value_discretization_interval=h, use_connect_dots=True
        )
        theirs = theirs.compose(block.self_compose(8))
    assert epsilon(joint, 1e-6) == pytest.approx(theirs.get_epsilon_for_delta(1e-6), rel=2e-3)


@pytest.mark.long
def test_dp_sgd_lies_within_the_bounds_of_opacus_prv() -> None:
    from opacus.accountants.analysis.prv import (
        DiscretePRV,
        Domain,
        PoissonSubsampledGaussianPRV,
        compose_heterogeneous,
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = PoissonSubsampledGaussianPRV(0.02, 1.45)
        domain = Domain.create_aligned(-20, 20, 2e-3)
        from opacus.accountants.analysis.prv.prvs import TruncatedPrivacyRandomVariable, discretize

        whole = compose_heterogeneous(
            [discretize(TruncatedPrivacyRandomVariable(one, domain.t_min, domain.t_max), domain)],
            [400],
        )
        assert isinstance(whole, DiscretePRV)
        low, _, high = whole.compute_epsilon(1e-6, 1e-9, 0.02)
    assert low <= epsilon(sgd(0.02, 1.45, 400), 1e-6) <= high


def test_composition_loses_no_mass_to_rounding() -> None:
    """The FFT's error stays below the slack that `epsilon` allows for."""
    for event, times in [
        (DiscreteGaussianDpEvent(20.0), 500),
        (dpa.PoissonSampledDpEvent(0.01, dpa.GaussianDpEvent(1.0)), 2000),
    ]:
        for grid in pld.loss_grids(event, 5e-4):
            whole = pld.compose([(grid, times)])
            assert abs(1 - whole.mass.sum() - whole.infinite) < 1e-11
            # the same by another product of spectra
            tail = pld.compose([(grid, times // 2), (grid, times // 2)])
            size = min(len(whole.mass), len(tail.mass))
            offset = tail.lowest - whole.lowest
            assert offset == 0
            assert np.abs(np.cumsum(whole.mass[::-1][:size] - tail.mass[::-1][:size])).max() < 1e-12


def test_groupings_of_the_same_event_cost_the_same() -> None:
    one = dpa.PoissonSampledDpEvent(0.05, dpa.GaussianDpEvent(2.0))
    ways = [
        dpa.SelfComposedDpEvent(one, 6),
        dpa.ComposedDpEvent([one] * 6),
        dpa.SelfComposedDpEvent(dpa.SelfComposedDpEvent(one, 3), 2),
    ]
    assert len({round(epsilon(way, 1e-6), 12) for way in ways}) == 1
    assert len({round(rdp(way, 7), 12) for way in ways}) == 1
    assert epsilon(dpa.ComposedDpEvent([]), 1e-6) == 0.0


@pytest.mark.parametrize("order", [2, 3.5, 4, 20])
def test_rdp_closed_forms(order: float) -> None:
    assert rdp(DiscreteGaussianDpEvent(3.0), order) == pytest.approx(order / 18)
    assert rdp(dpa.GaussianDpEvent(3.0), order) == pytest.approx(order / 18)
    assert rdp(dpa.PoissonSampledDpEvent(1.0, dpa.GaussianDpEvent(3.0)), order) == pytest.approx(
        order / 18
    )


@pytest.mark.parametrize("order", [2, 4, 9, 64])
@pytest.mark.parametrize(("q", "sigma"), [(0.02, 1.45), (0.3, 4.0), (0.001, 0.7)])
def test_rdp_of_dp_sgd_agrees_with_dp_accounting(order: int, q: float, sigma: float) -> None:
    theirs = dpa.rdp.RdpAccountant([order]).compose(sgd(q, sigma, 10))._rdp[0]
    assert rdp(sgd(q, sigma, 10), order) == pytest.approx(theirs, rel=1e-8)


def test_rdp_between_whole_orders_is_a_bound() -> None:
    for order in (1.3, 2.5, 7.75):
        theirs = dpa.rdp.RdpAccountant([order]).compose(sgd(0.1, 2.0, 1))._rdp[0]
        assert theirs <= rdp(sgd(0.1, 2.0, 1), order) * (1 + 1e-9)


def test_the_exact_renyi_divergence_of_the_discrete_gaussian_is_below_the_bound() -> None:
    for sigma in (0.5, 1.0, 4.0):
        x = np.arange(-400, 401).astype(float)
        log_p = -(x**2) / (2 * sigma**2)
        log_p -= np.log(np.exp(log_p).sum())
        for order in (2, 4, 10):
            terms = order * log_p[1:] + (1 - order) * log_p[:-1]
            exact = np.log(np.exp(terms - terms.max()).sum()) + terms.max()
            assert exact / (order - 1) <= rdp(DiscreteGaussianDpEvent(sigma), order) + 1e-9


@pytest.mark.parametrize(("target", "delta"), [(10.0, 1e-6), (1.0, 1e-6), (3.0, 1e-8), (0.2, 1e-6)])
def test_the_renyi_bound_converts_back_and_admits_most(target: float, delta: float) -> None:
    order, limit = rdp_bound(target, delta)
    assert epsilon_of_rdp(order, limit, delta) == pytest.approx(target)
    theirs, _ = dpa.rdp.compute_epsilon([order], [limit], delta)
    assert theirs == pytest.approx(target)
    for other in range(2, 200):
        at_other = target - math.log1p(-1 / other) + math.log(delta * other) / (other - 1)
        assert at_other / other <= limit / order + 1e-12


def test_about_fifty_releases_of_epsilon_1_fit_in_epsilon_10() -> None:
    order, limit = rdp_bound(10.0, 1e-6)
    _, one = calibrate(lambda scale: dpa.GaussianDpEvent(4 * scale), 1.0, 1e-6)
    assert 45 <= limit / rdp(one, order) <= 55


def joint(scale: float) -> dpa.DpEvent:
    weights = np.random.default_rng(0).uniform(0.4, 2.5, 120)
    return dpa.ComposedDpEvent(
        [
            *[DiscreteGaussianDpEvent(round_sigma_up(20 * scale * w)) for w in weights],
            sgd(0.02, 2 * scale, 300),
        ]
    )


@pytest.mark.parametrize(("target", "delta"), [(1.0, 1e-6), (8.0, 1e-8), (0.3, 1e-6)])
def test_calibration_meets_the_target_from_below_and_wastes_little(
    target: float, delta: float
) -> None:
    scale, event = calibrate(joint, target, delta)
    assert event == joint(scale)
    assert target * 0.985 <= epsilon(event, delta) <= target
    assert epsilon(joint(scale / 1.02), delta) > target


def test_calibration_survives_coarse_rounding_and_a_far_first_guess() -> None:
    scale, event = calibrate(
        lambda s: DiscreteGaussianDpEvent(float(math.ceil(1000 * s))), 1.0, 1e-6
    )
    assert (
        epsilon(event, 1e-6)
        <= 1.0
        < epsilon(DiscreteGaussianDpEvent(math.ceil(1000 * scale) - 1.0), 1e-6)
    )
    with pytest.raises(ValueError, match="no scale found"):
        calibrate(lambda s: dpa.GaussianDpEvent(0.3), 1.0, 1e-6)


def test_rounded_sigmas_group_and_never_fall() -> None:
    sigmas = np.random.default_rng(1).uniform(0.02, 500, 2000)
    rounded = [round_sigma_up(float(s)) for s in sigmas]
    assert all(s <= r <= s * 1.011 + 1 / 64 for s, r in zip(sigmas, rounded, strict=True))
    assert all((64 * r).is_integer() and round_sigma_up(r) == r for r in rounded)
    assert len(flatten(joint(1.0))) < 125


@pytest.mark.parametrize("delta", [0.0, -1.0, 1.0, 1e-12, float("nan")])
def test_impossible_deltas_are_refused(delta: float) -> None:
    for call in (
        lambda: epsilon(DiscreteGaussianDpEvent(1.0), delta),
        lambda: rdp_bound(1.0, delta),
        lambda: calibrate(joint, 1.0, delta),
    ):
        with pytest.raises(ValueError, match="delta"):
            call()


def test_impossible_targets_and_orders_are_refused() -> None:
    with pytest.raises(ValueError, match="epsilon"):
        calibrate(joint, 0.0, 1e-6)
    with pytest.raises(ValueError, match="epsilon"):
        rdp_bound(float("nan"), 1e-6)
    with pytest.raises(ValueError, match="order"):
        rdp(DiscreteGaussianDpEvent(1.0), 1.0)
    with pytest.raises(ValueError, match="does not know"):
        epsilon(dpa.LaplaceDpEvent(1.0), 1e-6)
