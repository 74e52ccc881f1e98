"""The keystream and the samplers: exact probabilities, secrecy of the state."""

import copy
import math
import multiprocessing
import pickle
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from pipeline.dp.noise import NoiseStream, sigma_on_grid

DRAWS = 400_000
SURE = 1e-6  # a right sampler fails once in a million runs


def discrete_gaussian_pmf(x: np.ndarray, sigma: float) -> np.ndarray:
    support = np.arange(-int(30 * sigma) - 30, int(30 * sigma) + 31)
    weights = np.exp(-(support.astype(float) ** 2) / (2 * sigma**2))
    return np.exp(-(x.astype(float) ** 2) / (2 * sigma**2)) / weights.sum()


def fit(draws: np.ndarray, sigma: float) -> float:
    """p-value of the exact pmf: chi-square over the common integers, the Poisson law for the rare
    ones.

    Two tests, so twice the smaller one (Bonferroni). A chi-square over the rare ones too would be
    wrong: where one in a hundred runs expects a single draw there, that draw alone would count as a
    hundred.
    """
    bound = int(np.abs(draws).max()) + int(6 * sigma) + 2
    expected = len(draws) * discrete_gaussian_pmf(np.arange(-bound, bound + 1), sigma)
    observed = np.bincount(draws + bound, minlength=2 * bound + 1)
    common = expected >= 10
    rare_expected, rare_observed = expected[~common].sum(), int(observed[~common].sum())
    shape = stats.chisquare(
        observed[common], expected[common] * observed[common].sum() / expected[common].sum()
    ).pvalue
    rare = min(
        stats.poisson.sf(rare_observed - 1, rare_expected),
        stats.poisson.cdf(rare_observed, rare_expected),
    )
    return min(1.0, 2 * float(shape), 4 * float(rare))


@pytest.mark.parametrize("sigma", [0.25, 0.5, 0.984375, 1.0, 1.5, 3.296875, 19.0, 80.015625])
def test_discrete_gaussian_has_the_exact_pmf(sigma: float) -> None:
    assert fit(NoiseStream().discrete_gaussian(sigma, DRAWS), sigma) > SURE


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_a_rounded_continuous_gaussian_is_rejected(sigma: float) -> None:
    rounded = np.rint(sigma * NoiseStream().normal(DRAWS)).astype(np.int64)
    assert fit(rounded, sigma) < SURE


@pytest.mark.parametrize("sigma", [1.0, 3.0, 80.0])
@pytest.mark.parametrize("wrong", [0.5, 0.97, 1.03])
def test_a_wrong_sigma_is_rejected(sigma: float, wrong: float) -> None:
    draws = NoiseStream().discrete_gaussian(sigma * wrong, DRAWS)
    assert fit(draws, sigma_on_grid(sigma * wrong)) > SURE
    assert fit(draws, sigma) < SURE


def test_a_large_sigma_has_the_right_distribution() -> None:
    draws = NoiseStream().discrete_gaussian(20_000.0, 50_000)
    assert draws.dtype == np.int64
    assert stats.kstest(draws / 20_000.0, "norm").pvalue > SURE


def test_draws_are_independent_of_their_place_in_the_batch() -> None:
    """Rejection in batches must not sort or repeat."""
    draws = NoiseStream().discrete_gaussian(5.0, (2, DRAWS // 2)).astype(float)
    assert abs(np.corrcoef(draws[0], draws[1])[0, 1]) < 0.02
    assert abs(np.corrcoef(draws[0, :-1], draws[0, 1:])[0, 1]) < 0.02
    assert abs(draws.mean()) < 0.1


@pytest.mark.parametrize(
    "p", [Fraction(1, 3), Fraction(5, 7), Fraction(1, 2), Fraction(15, 16), Fraction(1, 1000)]
)
def test_the_exact_coin_settles_ties(p: Fraction) -> None:
    """With words of 4 bits nearly every coin meets a tie, which 64-bit words meet once in 2^64."""
    noise = NoiseStream()
    heads = sum(noise._bernoulli_exactly(p, word_bits=4) for _ in range(20_000))
    assert stats.binomtest(heads, 20_000, float(p)).pvalue > SURE


@pytest.mark.parametrize("gamma", [Fraction(0), Fraction(1, 3), Fraction(9, 10)])
def test_bernoulli_of_exp(gamma: Fraction) -> None:
    noise = NoiseStream()
    heads = int(noise._exp_minus_fractions([gamma], np.zeros(100_000, dtype=np.int64)).sum())
    assert stats.binomtest(heads, 100_000, math.exp(-gamma)).pvalue > SURE
    whole = int(noise._exp_minus_whole(np.full(100_000, 2)).sum())
    assert stats.binomtest(whole, 100_000, math.exp(-2)).pvalue > SURE


@pytest.mark.parametrize("p", [0.0, 1e-3, 0.37, 1.0])
def test_coins(p: float) -> None:
    coins = NoiseStream().bernoulli(p, 100_000)
    assert coins.dtype == bool
    assert (
        stats.binomtest(int(coins.sum()), 100_000, p).pvalue > SURE
        if 0 < p < 1
        else coins.mean() == p
    )
    assert len(NoiseStream().bernoulli(p, 0)) == 0


def test_normals() -> None:
    drawn = NoiseStream().normal((3, 50_001))
    assert drawn.shape == (3, 50_001)
    assert stats.kstest(drawn.ravel(), "norm").pvalue > SURE
    assert stats.kstest(drawn.ravel() * 1.05, "norm").pvalue < SURE
    assert NoiseStream().normal((2, 0)).shape == (2, 0)
    assert NoiseStream().normal(5, dtype=np.float32).dtype == np.float32


def test_uniform_words_use_all_bits() -> None:
    words = NoiseStream().bits(100_000)
    ones = ((words[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)).sum(0)
    assert abs(ones / 100_000 - 0.5).max() < 0.01
    unit = NoiseStream().uniform53(100_000)
    assert unit.min() >= 0 and unit.max() < 1
    assert stats.kstest(unit, "uniform").pvalue > SURE


def test_two_streams_differ_and_one_never_repeats() -> None:
    noise = NoiseStream()
    assert len({bytes(part) for part in (noise.bits(4), noise.bits(4), NoiseStream().bits(4))}) == 3


def _draw_in_child(noise: NoiseStream, queue: "multiprocessing.Queue[bytes]") -> None:
    queue.put(bytes(noise.bits(8)))


def test_a_forked_child_does_not_repeat_the_parents_noise() -> None:
    noise = NoiseStream()
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[bytes] = context.Queue()
    children = [context.Process(target=_draw_in_child, args=(noise, queue)) for _ in range(2)]
    for child in children:
        child.start()
    drawn = {queue.get(timeout=900) for _ in children} | {bytes(noise.bits(8))}
    for child in children:
        child.join()
    assert len(drawn) == 3


@pytest.mark.parametrize("keep", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_stream_is_never_copied(keep: object) -> None:
    with pytest.raises(TypeError, match="never pickled"):
        keep(NoiseStream())  # type: ignore[operator]


def test_nothing_of_the_state_is_shown() -> None:
    noise = NoiseStream()
    assert repr(noise) == "NoiseStream()"
    assert not [
        name
        for name, value in vars(noise).items()
        if isinstance(value, bytes | bytearray | int) and name != "_process"
    ]


def test_sigma_rounds_up_only() -> None:
    rng = np.random.default_rng(0)
    for sigma in rng.uniform(1e-3, 2000, 500):
        on_grid = sigma_on_grid(float(sigma))
        assert sigma <= on_grid < sigma + 1 / 64
        assert sigma_on_grid(on_grid) == on_grid


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf"), 2.0**21])
def test_impossible_sigmas_are_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma"):
        NoiseStream().discrete_gaussian(sigma, 3)
