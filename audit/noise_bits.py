"""Noise has all of its bits: values are distinct, low bits are fair, nothing is rounded on the way
to a noisy result, and what is drawn follows from the mechanism and not from what it is added to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from scipy import stats

from audit.descent import descent
from audit.findings import Check, Finding
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.selection import PrivateChoice

Array = np.ndarray[Any, Any]

ALARM = 1e-7  # chance that a check of sound code fails
LOW = 20  # lowest bits of a float's 52 that are looked at
SMALL = 10  # lowest bits of whole numbers, whose sigma is WIDE
WIDE = 2.0**16
# relative difference of two radii or angles from which they are one; pairs that may be so near
SAME, PAIRS = 1e-13, 5


@contextmanager
def normals_taken() -> Iterator[list[Array]]:
    """What the normals were that this process took while the block runs."""
    draws, normal = list[Array](), NoiseStream.normal

    def note(noise: NoiseStream, shape: Any, dtype: Any = np.float64) -> Array:
        draws.append(normal(noise, shape, dtype))
        return draws[-1]

    with patch.object(NoiseStream, "normal", note):
        yield draws


def gradient_noise(draws: int, _folder: Path) -> Finding:
    """Normals as a noisy gradient takes them: float64, all different, fair in their low bits, of
    radii and angles that are as fine. The gradient is by definition what they make of the sums.
    """
    mechanism, sums = descent(1.7), torch.linspace(-3, 3, draws)
    with normals_taken() as parts:
        noisy = mechanism.noisy_gradient([{"weight": sums}], {"weight": sums}, NoiseStream())
    normals = np.concatenate([values.ravel() for values in parts]).astype(np.float64)
    stddev = mechanism.noise_multiplier * mechanism.l2_clip_norm
    by_definition = (sums.double().numpy() + stddev * normals) / mechanism.expected_batch_size
    is_exact = np.array_equal(noisy["weight"].numpy(), by_definition.astype(np.float32))
    p = min(_fair_bits(normals.view(np.uint64), LOW), 1.0)
    repeated = draws - len(np.unique(normals))
    near = max(_near(normals, np.hypot), _near(normals, np.arctan2))
    return Finding(
        holds=is_exact and p > ALARM and repeated == 0 and near < PAIRS,
        figures={"p_of_low_bits": p, "repeated": repeated, "near": near},
        message=(
            f"of {draws:,} normals of a noisy gradient {repeated} came twice, the low bits are fair"
            f" with p = {p:.2g}, {near} pairs of radii or angles are nearly equal; the gradient is"
            f" {'' if is_exact else 'not '}what they make of the sums by definition"
        ),
    )


def _fair_bits(words: Array, bits: int) -> float:
    """p-value of the worst of the lowest bits, each to be 1 as often as 0, times their number."""
    ones = [int(((words >> np.uint64(bit)) & np.uint64(1)).sum()) for bit in range(bits)]
    return float(min(stats.binomtest(one, len(words)).pvalue for one in ones)) * bits


def _near(normals: Array, polar: Callable[[Array, Array], Array]) -> int:
    """How many neighbours among radii or angles are one: Box and Muller make halves together, so a
    radius of few bits is a radius that comes again.
    """
    half = len(normals) // 2
    values = np.sort(polar(normals[half : 2 * half], normals[:half]))
    return int((np.diff(values) < SAME * np.abs(values[1:])).sum())


def counting_noise(draws: int, _folder: Path) -> Finding:
    """Discrete noise of a large sigma: low bits fair, and as many values twice as chance has."""
    noisy = NoisyCounts(name="wide", sigma=WIDE, cells=draws).measure(
        np.zeros(draws, np.int64), NoiseStream()
    )
    p = min(_fair_bits(noisy.astype(np.int64).view(np.uint64), SMALL), 1.0)
    _, times = np.unique(noisy, return_counts=True)
    pairs = int((times * (times - 1) // 2).sum())
    expected = draws * (draws - 1) / 2 / (2 * WIDE * np.sqrt(np.pi))
    # twice the smaller tail: pairs of equal values are nearly Poisson
    p_pairs = 2 * min(stats.poisson.cdf(pairs, expected), stats.poisson.sf(pairs - 1, expected))
    return Finding(
        holds=p > ALARM and p_pairs > ALARM,
        figures={"p_of_low_bits": p, "p_of_pairs": float(p_pairs), "pairs": pairs},
        message=(
            f"the low bits of {draws:,} draws of discrete noise, sigma {WIDE:g}, are fair with p ="
            f" {p:.2g}; {pairs} pairs are equal, to be about {expected:.0f} (p = {p_pairs:.2g})"
        ),
    )


class PublicWords(NoiseStream):
    """Words from a public seed, so that a draw can be made again; and how many were taken."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._source, self.n_words = np.random.default_rng(seed), 0

    def bits(self, n: int) -> Array:
        self.n_words += n
        return self._source.integers(2**64, size=n, dtype=np.uint64)


def noise_of_nobody(_folder: Path) -> Finding:
    """The same words for different counts, scores and sums: the noise is the same, and so is the
    number of words; where nobody is as where everybody is.
    """
    rng, moved = np.random.default_rng(4), []
    for seed, sigma in enumerate((0.5, 3.0, 20.0, 900.0)):
        tables = [np.zeros(60, np.int64), rng.poisson(0.3, 60), rng.integers(0, 10**6, 60)]
        results = [_counts(table, sigma, seed) for table in tables]
        moved += [f"counts at sigma {sigma:g}"] * (len(set(results)) > 1)
    scores = [np.zeros(9, np.int64), np.full(9, 77), np.full(9, -(10**6))]  # equal chances
    moved += ["picks"] * (len({_picks(of, 1) for of in scores}) > 1)
    batches = {_sample(content) for content in range(3)}
    moved += ["batches"] * (len(batches) > 1)
    return Finding(
        holds=not moved,
        figures={"moved": len(moved)},
        message=(
            "noise, and the words that it takes, follow from the mechanism alone"
            if not moved
            else f"noise depends on what it is added to: {', '.join(moved)}"
        ),
    )


def _counts(table: Array, sigma: float, seed: int) -> tuple[bytes, int]:
    noise = PublicWords(seed)
    mechanism = NoisyCounts(name="block", sigma=sigma, cells=len(table))
    return (mechanism.measure(table, noise) - table).tobytes(), noise.n_words


def _picks(scores: Array, seed: int) -> tuple[bytes, int]:
    noise = PublicWords(seed)
    mechanism = PrivateChoice(name="choice", epsilon=0.5, picks=4, candidates=len(scores))
    return mechanism.measure(scores, noise).tobytes(), noise.n_words


def _sample(content: int) -> tuple[bytes, int]:
    """A step on sums of some size: its batch, and how many words it took."""
    noise, mechanism = PublicWords(5), descent(1.0)
    batch = mechanism.sample(100, noise)
    like = {"weight": torch.zeros(31)}
    mechanism.noisy_gradient([{"weight": torch.full((31,), 100.0 * content)}], like, noise)
    return batch.tobytes(), noise.n_words


CHECKS: tuple[Check, ...] = (
    *(
        Check(
            name=f"gradient noise has all of its bits{suffix}",
            family="sampler",
            run=partial(gradient_noise, draws),
            long=long,
            asks="noise on gradients is float64, never repeated and not rounded before it is added",
        )
        for suffix, draws, long in (("", 60_000, False), (", many", 120_000, True))
    ),
    *(
        Check(
            name=f"counting noise has all of its bits{suffix}",
            family="sampler",
            run=partial(counting_noise, draws),
            long=long,
            asks="discrete noise is not a multiple of anything and not from a table",
        )
        for suffix, draws, long in (("", 4_000, False), (", many", 40_000, True))
    ),
    Check(
        name="noise does not depend on what it is added to",
        family="sampler",
        run=noise_of_nobody,
        asks=(
            "every cell, score and weight gets the same noise from the same words, whether or not"
            " anybody is in it"
        ),
    ),
)
