"""Noise and Poisson coins from a keystream that the operating system keys; the key is kept nowhere.

The stream is AES-256 in counter mode (NIST SP 800-38A): whoever does not hold the key cannot tell
it from fair coins, so the guarantee holds against computationally bounded adversaries. A stream
lives in one process only: it cannot be pickled or copied, and a forked child draws a fresh key
before its first number.
"""

import math
import os
import threading
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pipeline.dp.errors import MechanismError

SIGMA_GRID = 64  # every sigma of a discrete Gaussian is a multiple of 1/64
_LARGEST_SIGMA = 2**20  # keeps integers of the sampler below within 63 bits
_BATCH = 1 << 18  # candidates per round of rejection: bounds memory
_PROPOSALS = 1024  # places proposed at once where one is chosen

Shape = int | Sequence[int]


def sigma_on_grid(sigma: float) -> float:
    """The smallest multiple of 1/64 that is at least `sigma`: exact as a float and as a fraction.
    Never rounds down. Raises MechanismError for a sigma that is not positive, or above 2^20.

    >>> sigma_on_grid(1.0), sigma_on_grid(1.001)
    (1.0, 1.015625)
    """
    if not (math.isfinite(sigma) and 0 < sigma <= _LARGEST_SIGMA):
        raise MechanismError(f"sigma must be in (0, {_LARGEST_SIGMA}], got {sigma}")
    return float(Fraction(math.ceil(Fraction(sigma) * SIGMA_GRID), SIGMA_GRID))


class NoiseStream:
    """Secret random numbers. No seed can be given, none is stored, and a resumed run gets a new
    stream (privacy_rules.md 12).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rekey()

    def _rekey(self) -> None:
        self._process = os.getpid()
        self._cipher = Cipher(algorithms.AES(os.urandom(32)), modes.CTR(os.urandom(16))).encryptor()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a NoiseStream is never pickled or copied: its state would let somebody subtract the"
            " noise; make a new one"
        )

    def __repr__(self) -> str:
        return "NoiseStream()"

    def bits(self, n: int) -> np.ndarray[Any, Any]:
        """n independent uniform 64-bit words, uint64 [n]."""
        with self._lock:
            # after a fork both processes would draw the same noise
            if self._process != os.getpid():
                self._rekey()
            return np.frombuffer(self._cipher.update(bytes(8 * n)), dtype=np.uint64)

    def uniform53(self, n: int) -> np.ndarray[Any, Any]:
        """float64 [n], uniform on the multiples of 2^-53 in [0, 1)."""
        return (self.bits(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, shape: Shape, dtype: Any = np.float64) -> np.ndarray[Any, Any]:
        """Standard normals by Box and Muller (1958) from 64-bit radii and 53-bit angles.

        Limits of floats, not covered by the guarantee: |z| never passes 9.5 (true mass beyond:
        2e-21), values lie on the uneven grid of floats, and that grid can in principle tell
        neighbours apart (Mironov 2012). Counts get `discrete_gaussian` instead.
        """
        size = _size(shape)
        half = (size + 1) // 2
        radius = np.sqrt(
            -2.0 * np.log((self.bits(half).astype(np.float64) + 0.5) * 2.0**-64).clip(max=0.0)
        )
        angle = (2.0 * np.pi) * self.uniform53(half)
        pairs = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        return pairs[:size].reshape(shape).astype(dtype, copy=False)

    def bernoulli(self, p: float, n: int) -> np.ndarray[Any, Any]:
        """n independent coins, bool [n]: 64 bits against floor(p 2^64), so the chance is p, or less
        than 2^-64 below it where p < 2^-11. Raises MechanismError for p outside [0, 1].
        """
        if not 0 <= p <= 1:
            raise MechanismError(f"p must be in [0, 1], got {p}")
        threshold = math.floor(Fraction(p) * 2**64)
        if threshold == 2**64:
            return np.ones(n, dtype=bool)
        return self.bits(n) < np.uint64(threshold)

    def discrete_gaussian(self, sigma: float, shape: Shape) -> np.ndarray[Any, Any]:
        """int64 [shape], exact draws of N_Z(0, sigma^2): P(x) proportional to exp(-x^2 / (2
        sigma^2)) over the integers.

        Canonne, Kamath, Steinke 2020 (arxiv.org/abs/2004.00010), Algorithms 1 to 3, on integers
        only: sigma is first rounded up to a multiple of 1/64, and no step compares floats.
        Vectorised by rejection in batches. Raises MechanismError for a sigma that is not positive,
        or above 2^20.
        """
        scaled = int(sigma_on_grid(sigma) * SIGMA_GRID)  # sigma = scaled / 64, exactly
        size = _size(shape)
        out = np.empty(size, dtype=np.int64)
        n_accepted = 0
        while n_accepted < size:
            draws = self._discrete_gaussian_batch(
                scaled, min(2 * (size - n_accepted) + 32, _BATCH)
            )[: size - n_accepted]
            out[n_accepted : n_accepted + len(draws)] = draws
            n_accepted += len(draws)
        return out.reshape(shape)

    def one_of(self, numerators: np.ndarray[Any, Any], denominator: int) -> int:
        """A place with probability proportional to exp(-numerators[place] / denominator), exact:
        int64 [places], at least 0, one of them 0. A place is proposed evenly and kept with that
        chance.

        How many proposals it takes shows in time only, which the guarantee does not cover.
        """
        whole, rest = np.divmod(numerators, denominator)
        whole = np.minimum(whole, 2**31)
        while True:
            proposals = self._below(np.full(_PROPOSALS, len(numerators), dtype=np.int64))
            keep = self._exp_minus_whole(whole[proposals])
            left = np.flatnonzero(keep)
            values, where = np.unique(rest[proposals[left]], return_inverse=True)
            fractions = [Fraction(int(value), denominator) for value in values]
            keep[left] = self._exp_minus_fractions(fractions, where)
            if keep.any():
                return int(proposals[int(np.argmax(keep))])

    def _discrete_gaussian_batch(self, scaled: int, n: int) -> np.ndarray[Any, Any]:
        """The accepted of about n candidates (Algorithm 3).

        A discrete Laplace of scale t, kept with chance exp(-(|y| - sigma^2/t)^2 / (2 sigma^2)).
        """
        t = scaled // SIGMA_GRID + 1
        y = self._discrete_laplace(t, n)
        size = np.abs(y)
        values, where = np.unique(size, return_inverse=True)
        # (|y| - s^2/t)^2 / (2 s^2) with s = scaled/64, as a fraction of Python integers
        denominator = 2 * SIGMA_GRID**2 * t**2 * scaled**2
        gammas = [
            Fraction((SIGMA_GRID**2 * t * int(v) - scaled**2) ** 2, denominator) for v in values
        ]
        whole = np.array([min(int(g), 2**31) for g in gammas], dtype=np.int64)[where]
        keep = self._exp_minus_whole(whole)
        left = np.flatnonzero(keep)
        keep[left] = self._exp_minus_fractions([g - int(g) for g in gammas], where[left])
        return y[keep]

    def _discrete_laplace(self, t: int, n: int) -> np.ndarray[Any, Any]:
        """The accepted of n candidates: P(x) proportional to exp(-|x| / t) (Algorithm 2 with s =
        1).
        """
        u = self._below(np.full(n, t, dtype=np.int64))
        u = u[self._exp_minus_ratio(u, t)]
        x = u + t * self._geometric(len(u))
        negative = (self.bits(len(x)) & np.uint64(1)).astype(bool)
        is_valid = ~(negative & (x == 0))
        return np.where(negative, -x, x)[is_valid]

    def _below(self, limits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """One uniform integer in [0, limit) for each limit: int64, exact by rejection of the last
        incomplete run of 64-bit words.
        """
        limits = limits.astype(np.uint64)
        fair = np.iinfo(np.uint64).max // limits * limits
        words = self.bits(len(limits)).copy()
        while (over := np.flatnonzero(words >= fair)).size:
            words[over] = self.bits(over.size)
        return (words % limits).astype(np.int64)

    def _exp_minus_ratio(self, u: np.ndarray[Any, Any], t: int) -> np.ndarray[Any, Any]:
        """Bernoulli(exp(-u/t)), 0 <= u <= t, bool (Algorithm 1): heads where the first k that fails
        Bernoulli(u/(t k)) is odd.
        """
        first_failing = np.ones(len(u), dtype=np.int64)
        going = np.arange(len(u))
        k = 1
        while going.size:
            going = going[self._below(np.full(going.size, t * k, dtype=np.int64)) < u[going]]
            k += 1
            first_failing[going] = k
        return first_failing % 2 == 1

    def _geometric(self, n: int) -> np.ndarray[Any, Any]:
        """How many Bernoulli(exp(-1)) succeed before the first that fails, int64 [n]."""
        successes = np.zeros(n, dtype=np.int64)
        going = np.arange(n)
        while going.size:
            going = going[self._exp_minus_ratio(np.ones(going.size, dtype=np.int64), 1)]
            successes[going] += 1
        return successes

    def _exp_minus_whole(self, whole: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Bernoulli(exp(-m)) for integers m >= 0, bool: m successes of Bernoulli(exp(-1)) in a
        row.
        """
        heads = np.ones(len(whole), dtype=bool)
        draws = 0
        while (going := np.flatnonzero(heads & (whole > draws))).size:
            heads[going] = self._exp_minus_ratio(np.ones(going.size, dtype=np.int64), 1)
            draws += 1
        return heads

    def _exp_minus_fractions(
        self, gammas: list[Fraction], which: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        """Bernoulli(exp(-gammas[which])) for gammas in [0, 1), bool [len(which)] (Algorithm 1).

        Bernoulli(gamma / k) compares a 64-bit word with floor(2^64 gamma / k); the one word in 2^64
        that equals it is settled exactly.
        """
        thresholds = np.array(
            [g.numerator * 2**64 // g.denominator for g in gammas], dtype=np.uint64
        )
        first_failing = np.ones(len(which), dtype=np.int64)
        going = np.arange(len(which))
        k = 1
        while going.size:
            words = self.bits(going.size)
            limits = thresholds[which[going]] // np.uint64(k)  # floor(floor(x) / k) = floor(x / k)
            heads = words < limits
            for tie in np.flatnonzero(words == limits):
                heads[tie] = self._bernoulli_exactly(
                    gammas[which[going[tie]]] / k * 2**64 - int(limits[tie])
                )
            going = going[heads]
            k += 1
            first_failing[going] = k
        return first_failing % 2 == 1

    def _bernoulli_exactly(self, p: Fraction, word_bits: int = 64) -> bool:
        """One coin of exact rational chance p in [0, 1): as many words as it takes."""
        while True:
            p *= 2**word_bits
            threshold = math.floor(p)
            word = int(self.bits(1)[0]) >> (64 - word_bits)
            if word != threshold:
                return word < threshold
            p -= threshold
            if p == 0:
                return False


def _size(shape: Shape) -> int:
    return shape if isinstance(shape, int) else math.prod(shape)
