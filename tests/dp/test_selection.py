"""The exponential mechanism: exact chances, no candidate twice, a privacy loss that bounds the true
one in both directions, and picks that are drawn once.
"""

from __future__ import annotations

import json
import math
from itertools import permutations
from pathlib import Path

import dp_accounting as dpa
import numpy as np
import pytest
from ledger_cases import opened, reserve
from scipy import integrate, special

from pipeline.dp import pld
from pipeline.dp.accounting import calibrate, epsilon, epsilons
from pipeline.dp.audit import with_noise
from pipeline.dp.events import (
    DiscreteGaussianDpEvent,
    ExponentialMechanismDpEvent,
    canonical,
    canonical_string,
    flatten,
    from_json,
    to_json,
)
from pipeline.dp.marginals import MeasurementStore, NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.renyi import rdp
from pipeline.dp.selection import PrivateChoice, round_epsilon_down
from pipeline.dp.tape import Tape
from pipeline.ledger import BudgetExceeded

SURE = 1e-9  # a test that is right fails so seldom


def choice(epsilon: float, picks: int = 1, candidates: int = 100) -> PrivateChoice:
    return PrivateChoice(
        name="choice", epsilon=round_epsilon_down(epsilon), picks=picks, candidates=candidates
    )


def chance(order: tuple[int, ...], scores: np.ndarray, epsilon: float) -> float:
    """Of these picks in this order, by the closed form."""
    left, product = list(range(len(scores))), 1.0
    for place in order:
        weights = np.exp(epsilon / 2 * (scores[left] - scores.max()))
        product *= weights[left.index(place)] / weights.sum()
        left.remove(place)
    return product


def is_likely(seen: np.ndarray, chances: np.ndarray) -> bool:
    """Whether counts are what draws with these chances give: by Pearson's statistic, where every
    expected count is large.
    """
    expected = seen.sum() * chances
    assert expected.min() > 20
    statistic = float(((seen - expected) ** 2 / expected).sum())
    return special.chdtrc(len(seen) - 1, statistic) > SURE


@pytest.mark.parametrize(
    ("scores", "epsilon"),
    [
        ([0, 0, 0], 1.0),
        ([3, 0, -2, 1], 1.0),
        ([10**12 + 2, 10**12, 10**12 - 3], 0.5),  # far beyond what floats tell apart in a sum
        ([-7, -9], 3.7),
        ([0, 4, 1, 2, 3, 0], 0.03),
        ([5, 0], 0.9),  # both a whole part and a fraction of the exponent
    ],
)
def test_a_pick_has_the_chances_of_the_exponential_mechanism(
    scores: list[int], epsilon: float
) -> None:
    mechanism, noise = choice(epsilon), NoiseStream()
    values = np.array(scores)
    seen = np.bincount(
        [int(mechanism.measure(values, noise)[0]) for _ in range(1500)], minlength=len(scores)
    )
    chances = np.array([chance((k,), values, mechanism.epsilon) for k in range(len(scores))])
    assert is_likely(seen, chances)


def test_picks_are_made_one_after_the_other_among_those_left() -> None:
    mechanism, noise, scores = choice(1.5, picks=2), NoiseStream(), np.array([2, 0, 1, 1])
    orders = list(permutations(range(4), 2))
    seen = np.zeros(len(orders))
    for _ in range(1800):
        seen[orders.index(tuple(mechanism.measure(scores, noise).tolist()))] += 1
    assert is_likely(seen, np.array([chance(o, scores, mechanism.epsilon) for o in orders]))


def test_no_candidate_is_picked_twice_and_all_can_be() -> None:
    scores = np.array([50, 0, 0, -400, 3])
    for _ in range(50):
        picked = choice(0.7, picks=5).measure(scores, NoiseStream())
        assert picked.dtype == np.int64 and sorted(picked) == [0, 1, 2, 3, 4]


def test_scores_far_apart_are_told_without_waiting() -> None:
    scores = np.array([0, 10**15, -(10**15)])
    assert choice(1.0, picks=3).measure(scores, NoiseStream()).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.array([1.0, 2.0]), "integers"),
        (np.array([[1, 2]]), "one row"),
        (np.array([True, False]), "integers"),
        (np.array([1]), "1 scores for 2 picks"),
        (np.arange(4), "4 scores for 2 picks of at most 3"),
        (np.zeros(0, np.int64), "0 scores"),
    ],
)
def test_unfit_scores_are_refused(scores: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choice(1.0, picks=2, candidates=3).measure(scores, NoiseStream())


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"epsilon": 0.0},
        {"epsilon": -0.5},
        {"epsilon": 16.5},
        {"epsilon": 0.1},  # off the grid: the noise would not be that of the charge
        {"epsilon": float("nan")},
        {"picks": 0},
        {"picks": 4},
    ],
)
def test_impossible_choices_are_refused(fields: dict[str, object]) -> None:
    whole = {"name": "choice", "epsilon": 0.5, "picks": 2, "candidates": 3} | fields
    with pytest.raises(ValueError, match=r"must be|needs a name"):
        PrivateChoice(**whole)  # type: ignore[arg-type]


@pytest.mark.parametrize("epsilon", [0.0, -1.0, 16.1, float("inf"), float("nan"), 2.0**-21])
def test_an_epsilon_without_a_grid_point_below_is_refused(epsilon: float) -> None:
    with pytest.raises(ValueError, match="the epsilon of a pick"):
        round_epsilon_down(epsilon)


def test_the_grid_never_rounds_up_and_keeps_what_is_on_it() -> None:
    for asked in [*np.geomspace(1e-5, 16, 400), 2.0**-20]:
        rounded = round_epsilon_down(float(asked))
        assert 0 < rounded <= asked and (rounded * 2**20).is_integer()
        assert asked < 2e-4 or rounded > asked / 1.012
        assert round_epsilon_down(rounded) <= rounded


def two_points(t: float, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """(losses, their chances with the patient) of the pair on the two ends of a range, t and t -
    epsilon: the one with E[e^-loss] = 1.
    """
    top = (math.exp(epsilon) - math.exp(t)) / math.expm1(epsilon)
    return np.array([t, t - epsilon]), np.array([top, 1 - top])


def worst_epsilon(pairs: list[tuple[np.ndarray, np.ndarray]], delta: float) -> float:
    """The exact epsilon at delta of these pairs together, by all sums of their losses."""
    losses, chances = np.zeros(1), np.ones(1)
    for loss, chance_of in pairs:
        losses = (losses[:, None] + loss).ravel()
        chances = (chances[:, None] * chance_of).ravel()
        losses, where = np.unique(np.round(losses, 12), return_inverse=True)
        chances = np.bincount(where, chances)

    def excess(at: float) -> float:
        return float((chances * -np.expm1(np.minimum(at - losses, 0.0))).sum()) - delta

    low, high = 0.0, float(losses.max())
    if excess(low) <= 0:
        return 0.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return low


DELTAS = (1e-10, 1e-6, 1e-3, 0.05)


@pytest.mark.parametrize(
    ("of_pick", "picks"), [(0.02, 40), (0.3, 12), (1.0, 1), (1.0, 25), (4.0, 3), (16.0, 2)]
)
def test_the_accounting_dominates_every_pair_on_two_ends(of_pick: float, picks: int) -> None:
    """Dong, Durfee, Rogers 2020: t the same in all picks, or one for each."""
    event = dpa.SelfComposedDpEvent(ExponentialMechanismDpEvent(of_pick), picks)
    ours = epsilons(event, DELTAS)
    ends = [part * of_pick for part in (0.02, 0.25, 0.5, 0.6, 0.9)]
    cases = [[two_points(t, of_pick)] * picks for t in ends]
    cases.append([two_points(ends[k % 3], of_pick) for k in range(picks)])
    for delta, claimed in zip(DELTAS, ours, strict=True):
        exact = [worst_epsilon(case, delta) for case in cases]
        assert claimed >= max(exact) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("of_pick", "picks"), [(0.02, 40), (0.3, 12), (1.0, 1), (1.0, 25), (4.0, 3), (16.0, 2)]
)
def test_the_accounting_never_passes_pure_composition(of_pick: float, picks: int) -> None:
    event = dpa.SelfComposedDpEvent(ExponentialMechanismDpEvent(of_pick), picks)
    rounding = 1e-3  # of the grid, at most, for each pick
    assert max(epsilons(event, DELTAS)) <= picks * (of_pick + rounding)


def test_one_pick_is_accounted_nearly_exactly() -> None:
    for of_pick in (0.1, 1.0, 5.0):
        event = ExponentialMechanismDpEvent(of_pick)
        for delta, claimed in zip(DELTAS, epsilons(event, DELTAS), strict=True):
            exact = max(
                worst_epsilon([two_points(t, of_pick)], delta)
                for t in np.linspace(0, of_pick, 100)[1:-1]
            )
            assert exact * (1 - 1e-9) <= claimed <= exact * 1.01 + 2e-3


def test_many_picks_cost_far_less_than_their_sum() -> None:
    event = dpa.SelfComposedDpEvent(ExponentialMechanismDpEvent(0.02), 40)
    assert epsilon(event, 1e-6) < 0.4 < 0.8
    # as a Gaussian with the same variance of loss, epsilon^2 / 3 of a pick
    sigma = math.sqrt(3 / 40) / 0.02
    assert epsilon(event, 1e-6) == pytest.approx(
        epsilon(dpa.GaussianDpEvent(sigma), 1e-6), rel=0.03
    )


def test_beside_other_mechanisms_a_choice_costs_more_than_nothing() -> None:
    counts = dpa.SelfComposedDpEvent(DiscreteGaussianDpEvent(20.0), 30)
    both = dpa.ComposedDpEvent([counts, choice(0.05, picks=20).dp_event])
    assert (
        epsilon(counts, 1e-6)
        < epsilon(both, 1e-6)
        < epsilon(counts, 1e-6) + epsilon(choice(0.05, picks=20).dp_event, 1e-6)
    )


@pytest.mark.parametrize("order", [1.01, 1.5, 2, 4, 32, 200.5])
@pytest.mark.parametrize("of_pick", [1e-3, 0.05, 1.0, 7.0, 16.0])
def test_renyi_is_the_integral_of_the_dominating_divergence(of_pick: float, order: float) -> None:
    """E[x^order] = order (order - 1) x the integral of x^(order - 2) times the divergence at x; up
    to x = e^-epsilon the divergence is 1 - x.
    """

    def scaled(loss: float) -> float:
        height = float(pld.bounded_range_divergence(of_pick, np.array(loss)))
        return math.exp((order - 1) * (loss - of_pick)) * height

    points = of_pick * np.array([0.0, 0.5, 0.9, 0.99])
    inside, _ = integrate.quad(
        scaled, -of_pick, of_pick, points=points, limit=500, epsabs=0, epsrel=1e-11
    )
    least = math.exp(-of_pick)
    # of x from 0 to e^-epsilon, order (order - 1) x^(order - 2) (1 - x)
    below = order * least ** (order - 1) - (order - 1) * least**order
    mean = order * (order - 1) * inside + below * math.exp(-(order - 1) * of_pick)
    exact = math.log(mean) / (order - 1) + of_pick
    assert rdp(ExponentialMechanismDpEvent(of_pick), order) == pytest.approx(
        exact, rel=1e-6, abs=1e-12
    )


def renyi(p: np.ndarray, q: np.ndarray, order: float) -> float:
    return float(special.logsumexp(order * np.log(p) + (1 - order) * np.log(q))) / (order - 1)


def neighbours(rng: np.random.Generator, of_pick: float) -> tuple[np.ndarray, np.ndarray]:
    """Of a mechanism whose log likelihood ratios lie in a range of this width, anywhere in it or at
    its ends: a random one, or the exponential mechanism itself.
    """
    n = int(rng.integers(2, 8))
    q = rng.dirichlet(np.full(n, rng.choice([0.1, 1.0, 10.0]))) + 1e-12
    q /= q.sum()
    ratios = rng.uniform(0, 1, n) if rng.random() < 0.5 else rng.integers(0, 2, n).astype(float)
    p = q * np.exp(of_pick * ratios)
    return p / p.sum(), q


@pytest.mark.parametrize("of_pick", [0.05, 1.0, 7.0])
def test_no_mechanism_of_bounded_range_diverges_by_more(of_pick: float) -> None:
    """Random ones, both ways round: at every order, and at every loss."""
    rng, event = np.random.default_rng(4), ExponentialMechanismDpEvent(of_pick)
    losses = np.linspace(-1.2 * of_pick, 1.2 * of_pick, 61)
    heights = pld.bounded_range_divergence(of_pick, losses)
    bounds = {order: rdp(event, order) for order in (1.1, 2.0, 8.0, 100.0)}
    for _ in range(300):
        pair = neighbours(rng, of_pick)
        for p, q in (pair, pair[::-1]):
            for order, bound in bounds.items():
                assert renyi(p, q, order) <= bound * (1 + 1e-9) + 1e-12
            divergences = np.maximum(p[:, None] - np.exp(losses) * q[:, None], 0.0).sum(0)
            assert (divergences <= heights + 1e-12).all()


def test_renyi_of_a_pick_is_that_of_its_pure_epsilon_at_most() -> None:
    for of_pick in (0.01, 1.0, 16.0):
        for order in (1.001, 3, 4096):
            assert 0 < rdp(ExponentialMechanismDpEvent(of_pick), order) <= of_pick


JOINT = dpa.ComposedDpEvent(
    [
        dpa.SelfComposedDpEvent(ExponentialMechanismDpEvent(0.1 + 0.2), 7),
        DiscreteGaussianDpEvent(2.0),
        ExponentialMechanismDpEvent(0.1 + 0.2),
    ]
)


def test_the_event_survives_json_and_stands_in_the_canonical_form() -> None:
    for event in (ExponentialMechanismDpEvent(1 / 3), choice(0.7, picks=3).dp_event, JOINT):
        assert from_json(json.loads(json.dumps(to_json(event)))) == event
        assert from_json(json.loads(canonical_string(event))) == canonical(event)
    assert flatten(JOINT) == {
        ExponentialMechanismDpEvent(0.1 + 0.2): 8,
        DiscreteGaussianDpEvent(2.0): 1,
    }
    regrouped = dpa.ComposedDpEvent(list(reversed(JOINT.events)))
    assert canonical_string(regrouped) == canonical_string(JOINT)
    assert canonical_string(dpa.SelfComposedDpEvent(ExponentialMechanismDpEvent(0.3), 8)) not in (
        canonical_string(JOINT),
        canonical_string(dpa.SelfComposedDpEvent(ExponentialMechanismDpEvent(0.3), 9)),
    )


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_epsilon_is_refused_in_an_event_and_in_json(value: float) -> None:
    with pytest.raises(ValueError, match="epsilon must be positive"):
        ExponentialMechanismDpEvent(value)
    with pytest.raises(ValueError, match="epsilon must be positive"):
        from_json({"event": "exponential_mechanism", "epsilon": value})


def test_a_sampled_pick_is_not_accounted() -> None:
    with pytest.raises(ValueError, match="only Gaussians"):
        flatten(dpa.PoissonSampledDpEvent(0.1, ExponentialMechanismDpEvent(0.5)))


def test_the_charge_is_that_of_the_picks() -> None:
    mechanism = choice(0.4, picks=6)
    assert flatten(mechanism.dp_event) == {ExponentialMechanismDpEvent(mechanism.epsilon): 6}
    assert Tape([mechanism.dp_event]).matches(mechanism.dp_event)
    assert Tape([mechanism.dp_event]).differences(choice(0.4, picks=5).dp_event)
    assert with_noise(mechanism.dp_event, 2.0).events[0].event == ExponentialMechanismDpEvent(
        mechanism.epsilon / 2
    )


def test_noise_and_picks_are_calibrated_together() -> None:
    def event(scale: float) -> dpa.DpEvent:
        return dpa.ComposedDpEvent(
            [DiscreteGaussianDpEvent(3 * scale), choice(min(0.4 / scale, 16.0), picks=5).dp_event]
        )

    for target in (0.5, 3.0):
        _, found = calibrate(event, target, 1e-6)
        assert 0.97 * target < epsilon(found, 1e-6) <= target


def test_a_ledger_admits_choices_by_their_renyi_divergence_alone(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    population, event = ledger.population("trial"), choice(0.25, picks=2).dp_event
    cost, admitted = rdp(event, population.order), 0
    with pytest.raises(BudgetExceeded):
        for _ in range(1000):
            reserve(ledger, f"r{admitted}", event)
            admitted += 1
    assert admitted == math.floor(population.limit_rdp / cost) > 3
    reserved = ledger.reservation("r0")
    assert reserved is not None
    assert canonical_string(reserved.event) == canonical_string(event)


CHOICE = choice(0.25, picks=3, candidates=8)


def test_a_choice_is_stored_once_and_never_drawn_again(tmp_path: Path) -> None:
    scores = np.zeros(8, np.int64)
    first = MeasurementStore(tmp_path / "counts").get_or_measure(
        CHOICE, lambda: scores, NoiseStream()
    )

    def read_again() -> np.ndarray:
        raise AssertionError("rows were read a second time")

    # another process after a crash
    store = MeasurementStore(tmp_path / "counts")
    assert np.array_equal(store.get_or_measure(CHOICE, read_again, NoiseStream()), first)
    assert len(set(first.tolist())) == 3 and store.names() == ["choice"]
    assert canonical_string(store.measured_event()) == canonical_string(CHOICE.dp_event)


@pytest.mark.parametrize(
    "other",
    [
        choice(0.3, picks=3, candidates=8),
        choice(0.25, picks=2, candidates=8),
        choice(0.25, picks=3, candidates=9),
        NoisyCounts(name="choice", sigma=2.0, cells=8),
    ],
)
def test_another_mechanism_under_the_name_of_a_choice_is_refused(
    tmp_path: Path, other: PrivateChoice | NoisyCounts
) -> None:
    for first, second in ((CHOICE, other), (other, CHOICE)):
        store = MeasurementStore(tmp_path / f"of {type(first).__name__} {first is CHOICE}")
        store.get_or_measure(first, lambda: np.zeros(8, np.int64), NoiseStream())
        with pytest.raises(ValueError, match="was already measured as"):
            store.get_or_measure(second, lambda: np.zeros(8, np.int64), NoiseStream())


def test_a_choice_whose_file_is_gone_is_not_drawn_again(tmp_path: Path) -> None:
    store = MeasurementStore(tmp_path / "counts")
    store.get_or_measure(CHOICE, lambda: np.arange(8), NoiseStream())
    [file] = (tmp_path / "counts").glob("*.npz")
    file.unlink()
    with pytest.raises(ValueError, match="was measured once"):
        store.get_or_measure(CHOICE, lambda: np.arange(8), NoiseStream())
