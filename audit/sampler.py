"""The noise source: exact probabilities of discrete noise, the law of normals, coins by whole
numbers, keys that nobody has.
"""

from __future__ import annotations

import copy
import inspect
import math
import multiprocessing
import random
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from audit.claims import SURE
from audit.descent import descent
from audit.findings import Check, Finding
from pipeline.dp.noise import NoiseStream, sigma_on_grid

Array = np.ndarray[Any, Any]
_SIGMAS = (0.5, 1.0, 3.296875, 19.0)  # multiples of 1/64, as every sigma is
# where rounding a continuous normal is far from the exact probabilities
_ROUNDED_SIGMAS = (0.5, 1.0)
_OFF = (0.97, 1.03)


def probability(draws: Array, sigma: float) -> float:
    """p-value of draws, int64 [n], under N_Z(0, sigma^2): twice the smaller of a chi-square over
    common integers and a binomial test of the rest.
    """
    bound = int(max(np.abs(draws).max(), 12 * sigma)) + 2
    x = np.arange(-bound, bound + 1)
    mass = np.exp(-(x.astype(float) ** 2) / (2 * sigma**2))
    mass /= mass.sum()
    observed, common = np.bincount(draws + bound, minlength=len(x)), len(draws) * mass >= 10
    expected = mass[common] / mass[common].sum() * observed[common].sum()
    rest = stats.binomtest(
        int(observed[~common].sum()), len(draws), float(mass[~common].sum())
    ).pvalue
    return min(1.0, 2 * float(stats.chisquare(observed[common], expected).pvalue), 2 * float(rest))


def exact(draws: int, _folder: Path) -> Finding:
    """The discrete Gaussian fits its exact probabilities; what is nearly it would not."""
    noise = NoiseStream()
    fits = min(probability(noise.discrete_gaussian(sigma, draws), sigma) for sigma in _SIGMAS)
    nearly = [
        probability(np.rint(sigma * noise.normal(draws)).astype(np.int64), sigma)
        for sigma in _ROUNDED_SIGMAS
    ]
    nearly += [
        probability(noise.discrete_gaussian(sigma * off, draws), sigma)
        for sigma in _SIGMAS[1:]
        for off in _OFF
    ]
    alarm = (1 - SURE) / len(_SIGMAS)
    return Finding(
        holds=fits > alarm > max(nearly),
        figures={"p": fits, "p_of_what_is_nearly_it": max(nearly), "draws": draws},
        message=(
            f"{draws:,} draws at {len(_SIGMAS)} sigmas fit the exact probabilities (p at least"
            f" {fits:.2g}); a rounded continuous normal and a sigma 3% off do not (p at most"
            f" {max(nearly):.2g})"
        ),
    )


def normals(draws: int, _folder: Path) -> Finding:
    """Noise of DP-SGD, as noisy gradients hold it, against the normal law; no trace of its
    pairs.
    """
    mechanism = descent(1.7)
    like = {"weight": torch.zeros(draws), "bias": torch.zeros(7)}
    noisy = (
        mechanism.noisy_gradient([], like, NoiseStream())["weight"].double().numpy()
        * mechanism.expected_batch_size
        / 1.7
    )
    fits, wrong = (
        float(stats.kstest(noisy, "norm").pvalue),
        max(float(stats.kstest(noisy * off, "norm").pvalue) for off in _OFF),
    )
    # Box and Muller make the two halves of a draw together; neighbours come from neighbouring words
    half = (draws + 7) // 2
    together = [
        np.corrcoef(one, other)[0, 1] * np.sqrt(len(one))
        for power in (1, 2)
        for one, other in (
            (noisy[: draws - half] ** power, noisy[half:] ** power),
            (noisy[1:] ** power, noisy[:-1] ** power),
        )
    ]
    dependent = float(min(1.0, 8 * stats.norm.sf(np.abs(together).max())))
    alarm = (1 - SURE) / 2
    return Finding(
        holds=min(fits, dependent) > alarm > wrong,
        figures={"p": fits, "p_independent": dependent, "p_of_3_percent_off": wrong},
        message=(
            f"{draws:,} normals of a noisy gradient fit (p = {fits:.2g}) and are independent (p ="
            f" {dependent:.2g}); 3% off would show (p = {wrong:.2g})"
        ),
    )


class _Words(NoiseStream):
    """Gives the words it is told to."""

    def __init__(self, words: Array) -> None:
        super().__init__()
        self._words = words

    def bits(self, n: int) -> Array:
        return self._words[:n]


def coins(_folder: Path) -> Finding:
    """A coin of chance p is heads for exactly floor(p 2^64) of the 2^64 words: looked at where
    heads end, for large and tiny p.
    """
    wrong = 0
    chances = (0.1, 1 / 3, 0.25, 0.999, 1e-3, 1e-9, 2.0**-60, 1 - 2.0**-53)
    for p in chances:
        heads = math.floor(Fraction(p) * 2**64)
        words = np.array([0, heads - 1, heads, 2**64 - 1], dtype=np.uint64)
        wrong += _Words(words).bernoulli(p, 4).tolist() != [True, True, False, False]
    return Finding(
        holds=wrong == 0,
        figures={"chances": len(chances), "wrong": wrong},
        message=(
            f"of {len(chances)} chances, {wrong} have a coin that is not heads for exactly its"
            " share of the words"
        ),
    )


class _NoFloats(NoiseStream):
    """A stream whose floating-point numbers nobody may take."""

    def uniform53(self, n: int) -> Array:
        raise ValueError("a float was drawn where whole numbers are promised")

    def normal(self, shape: Any, dtype: Any = None) -> Array:
        raise ValueError("a float was drawn where whole numbers are promised")


def whole_numbers(_folder: Path) -> Finding:
    """Discrete noise and coins are made although floats are refused."""
    noise = _NoFloats()
    draws = [noise.discrete_gaussian(sigma, 1000) for sigma in _SIGMAS]
    is_whole = (
        all(values.dtype == np.int64 for values in draws) and noise.bernoulli(0.3, 10).dtype == bool
    )
    on_grid = all(
        sigma <= sigma_on_grid(sigma) and (sigma_on_grid(sigma) * 64).is_integer()
        for sigma in np.geomspace(1e-3, 1e5, 500)
    )
    return Finding(
        holds=is_whole and on_grid,
        message=(
            f"discrete noise and coins took {'no' if is_whole else 'a'} float; every sigma rounds"
            f" up: {on_grid}"
        ),
    )


def _words(noise: NoiseStream) -> bytes:
    return noise.bits(8).tobytes()


def _tell(noise: NoiseStream, sender: Any) -> None:
    sender.send(_words(noise))


def keys(_folder: Path) -> Finding:
    """Streams after equal seeds of everything that can be seeded, of one process and of forked
    ones; a stream's own next words; copies.
    """
    draws = []
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        for _ in range(3):
            random.seed(1)
            np.random.seed(1)
            torch.manual_seed(1)
            noise = NoiseStream()
            draws += [_words(noise), _words(noise)]
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
    draws += _of_children(noise)
    draws.append(_words(noise))
    parameters = list(inspect.signature(type(noise)).parameters)
    copied = [keep.__name__ for keep in (_reduced, copy.copy, copy.deepcopy) if _works(keep, noise)]
    different = len(set(draws))
    return Finding(
        holds=different == len(draws) and not parameters and not copied,
        figures={"draws": len(draws), "different": different},
        message=(
            f"{different} of {len(draws)} draws of streams, reseeded, resumed and forked, differ; a"
            f" stream takes {len(parameters)} arguments, {len(copied)} ways to copy it work"
        ),
    )


def _of_children(noise: NoiseStream) -> list[bytes]:
    context = multiprocessing.get_context("fork")
    draws = []
    for _ in range(2):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_tell, args=(noise, sender))
        child.start()
        sender.close()
        draws.append(receiver.recv())
        child.join()
    return draws


def _reduced(noise: NoiseStream) -> Any:
    """What a pickle of it would hold."""
    return noise.__reduce_ex__(4)


def _works(keep: Callable[[NoiseStream], Any], noise: NoiseStream) -> bool:
    try:
        keep(noise)
    except TypeError:
        return False
    return True


CHECKS = (
    *(
        Check(
            name=f"discrete noise is exact{suffix}",
            family="sampler",
            run=partial(exact, draws),
            long=long,
            asks="counts get noise with the exact probabilities of the discrete Gaussian",
        )
        for suffix, draws, long in (("", 200_000, False), (", many draws", 4_000_000, True))
    ),
    *(
        Check(
            name=f"normals are normal{suffix}",
            family="sampler",
            run=partial(normals, draws),
            long=long,
            asks="noise on gradients is normal, of the accounted scale and independent",
        )
        for suffix, draws, long in (("", 600_000, False), (", many draws", 8_000_000, True))
    ),
    Check(
        name="coins are exact",
        family="sampler",
        run=coins,
        asks="Poisson coins compare 64-bit words with whole numbers",
    ),
    Check(
        name="discrete noise takes no float",
        family="sampler",
        run=whole_numbers,
        asks="counts' noise is made of whole numbers only",
    ),
    Check(
        name="keys are fresh",
        family="sampler",
        run=keys,
        asks="no seed, copy, resume or fork gives the same noise twice",
    ),
)
