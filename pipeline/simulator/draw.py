"""Random draws, vectorised. Every function takes its generator, so that a seed fixes an extract."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Texts = NDArray[Any]

MISSING: Any = None  # for np.where, whose stubs know no None
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def stream(seed: int, part: str) -> np.random.Generator:
    """The generator of one part of the simulation: parts do not shift one another."""
    return np.random.default_rng([seed, zlib.crc32(part.encode())])


def choose(rng: np.random.Generator, weights: Mapping[str, float], n: int) -> Texts:
    """n draws from {value: weight}; an array of str."""
    values = np.array(list(weights), dtype=object)
    return values[choose_index(rng, np.array(list(weights.values()), dtype=float), n)]


def choose_index(rng: np.random.Generator, weights: Floats, n: int) -> Ints:
    """n indices drawn by weight."""
    edges = np.cumsum(weights) / np.sum(weights)
    return np.minimum(np.searchsorted(edges, rng.random(n), side="right"), len(weights) - 1)


def choose_rows(rng: np.random.Generator, weights: Floats) -> Ints:
    """One index per row of weights [n, k]."""
    edges = np.cumsum(weights, axis=1)
    u = rng.random(len(weights)) * edges[:, -1]
    return np.minimum((edges <= u[:, None]).sum(axis=1), weights.shape[1] - 1)


def tilted(shares: Floats, log_effects: Floats) -> Floats:
    """Row probabilities [n, k] proportional to share x exp(effect), scaled per column so that their
    mean stays `shares`.

    A column that no row may take (all effects -inf) keeps zero and the rest share its mass.
    """
    shares = np.asarray(shares, dtype=float) / np.sum(shares)
    effects = np.exp(log_effects)
    scale = shares.copy()
    for _ in range(30):
        rows = effects * scale
        rows /= np.maximum(rows.sum(axis=1, keepdims=True), 1e-300)
        mean = rows.mean(axis=0)
        scale = np.where(
            mean > 0, scale * np.where(mean > 0, shares / np.maximum(mean, 1e-12), 1.0), scale
        )
    return rows


def solve(value: Callable[[float], float], low: float, high: float, target: float) -> float:
    """The x in [low, high] where the monotone `value(x)` passes `target`; the nearer end where it
    never does.
    """
    rising = value(high) >= value(low)
    for _ in range(50):
        middle = (low + high) / 2
        if (value(middle) < target) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def recentred(effects: Floats, target: float) -> Floats:
    """Probabilities sigmoid(a + effect) with `a` such that their mean is `target`."""
    if len(effects) == 0 or target <= 0 or target >= 1:
        return np.full(len(effects), min(max(target, 0.0), 1.0))
    a = solve(lambda x: float(np.mean(1 / (1 + np.exp(-x - effects)))), -25.0, 25.0, target)
    return 1 / (1 + np.exp(-a - effects))


def lognormal_days(rng: np.random.Generator, median: Any, sigma: Any, n: int) -> Ints:
    """Whole days, lognormal with the given median and sigma (numbers or arrays [n])."""
    return np.rint(np.asarray(median) * np.exp(np.asarray(sigma) * rng.standard_normal(n))).astype(
        np.int64
    )


def lognormal_of(rng: np.random.Generator, median_and_sigma: Sequence[float], n: int) -> Ints:
    """lognormal_days with a [median, sigma] pair of the parameter file."""
    median, sigma = median_and_sigma
    return lognormal_days(rng, median, sigma, n)


def coins(ids: Ints, seed: int, what: str) -> Floats:
    """A uniform number per id that depends on id, seed and purpose only, so that a later extract
    tosses the same coin again (splitmix64).
    """
    start = (seed * 0x9E3779B97F4A7C15 + zlib.crc32(what.encode()) * 0x2545F4914F6CDD1D) % 2**64
    with np.errstate(over="ignore"):
        x = ids.astype(np.uint64) * GOLDEN + np.uint64(start)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(float) / 2**53


def shuffled_ids(n: int, base: int) -> Ints:
    """The n ids from `base` on without visible order: a walk modulo n in steps of its golden
    section, which meets each place once.
    """
    step = next(k for k in range(max(round(n * 0.618034), 1), 2 * n + 2) if gcd(k, n) == 1)
    return base + (np.arange(1, n + 1, dtype=np.int64) * step) % max(n, 1)


def by_key(keys: Any) -> list[tuple[Any, Ints]]:
    """[(key, indices)] of an array, keys in sorted order."""
    values, inverse = np.unique(np.asarray(keys), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    cuts = np.searchsorted(inverse[order], np.arange(len(values) + 1))
    return [(values[i], order[cuts[i] : cuts[i + 1]]) for i in range(len(values))]
