"""Planted faults of streams: batches and keystream that come again, noise of few bits, noise that
follows from something else than its mechanism.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from run_faults import edited
from scipy import special

from audit import surroundings
from pipeline.catalog import project_root
from pipeline.dp import noise as noise_module
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd

BATCHES, ONCE = "batches never come again", "no word of keystream is taken twice"
GRADIENTS, COUNTS = "gradient noise has all of its bits", "counting noise has all of its bits"
NOBODY, PLANNED = "noise does not depend on what it is added to", "planned noise takes no float"
BY_TEXT, BY_RUNNING = (
    f"nothing around it reaches the noise, by {how}" for how in ("text", "running")
)
SAMPLES = "        return np.flatnonzero(noise.bernoulli(self.sampling_probability, n_patients))\n"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A mistake that somebody could make; `found_as`: words of the finding."""

    name: str
    where: str
    caught_by: str  # name of a check
    patch: Callable[[pytest.MonkeyPatch], None]
    found_as: str
    long: bool = False


def _batches(again: str) -> Callable[[pytest.MonkeyPatch], None]:
    """The stream keeps its batches in `past`, and `again` says when an earlier one is used."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        new = (
            "        past = noise.__dict__.setdefault('past', [])\n"
            "        n = n_patients\n"
            "        past.append(np.flatnonzero(noise.bernoulli(self.sampling_probability, n)))\n"
            f"        {again}\n"
            "        return past[-1]\n"
        )
        edited(patch, DpSgd, "sample", (SAMPLES, new))

    return plant


twice_ten_apart = _batches("past[-1] = past[-11] if len(past) % 20 == 15 else past[-1]")
backwards = _batches("past[-1] = past[24 - len(past)] if 12 < len(past) < 25 else past[-1]")
mirrored = _batches("past[-1] = np.sort(n - 1 - past[-4]) if len(past) % 8 == 7 else past[-1]")
rotated = _batches("past[-1] = np.sort((past[-8] + 5) % n) if len(past) % 9 == 8 else past[-1]")
exchanged = _batches(
    "past[-1] = np.sort(np.random.default_rng(3).permutation(n)[past[-8]])"
    " if len(past) > 8 else past[-1]"
)


def noise_again(patch: pytest.MonkeyPatch) -> None:
    """Every fifth step has the noise of the third one before it, with its sign changed."""
    past: dict[str, list[np.ndarray]] = {}

    def again(name: str, values: np.ndarray) -> np.ndarray:
        past.setdefault(name, []).append(values)
        return values if len(past[name]) % 5 != 4 else -past[name][-4]

    drawn = "noise.normal(tuple(value.shape))"
    edited(patch, DpSgd, "noisy_gradient", (drawn, f"again(name, {drawn})"), again=again)


def block_again(patch: pytest.MonkeyPatch) -> None:
    """The counter starts anew after every ten draws, under one key."""

    def rekey(self: NoiseStream) -> None:
        self._process = noise_module.os.getpid()
        self._key = (algorithms.AES(noise_module.os.urandom(32)), modes.CTR(bytes(16)))
        self._cipher = Cipher(*self._key).encryptor()
        self._draws = 0

    patch.setattr(NoiseStream, "_rekey", rekey)
    takes = "            return np.frombuffer("
    new = (
        "            self._draws += 1\n"
        "            if self._draws % 10 == 0:\n"
        "                self._cipher = Cipher(*self._key).encryptor()\n"
    )
    edited(patch, NoiseStream, "bits", (takes, new + takes))


def words_kept(patch: pytest.MonkeyPatch) -> None:
    """Words that were left over are taken by the next stream: a pool of the process."""
    bits, pool = NoiseStream.bits, list[np.ndarray]()

    def take(self: NoiseStream, n: int) -> np.ndarray:
        if n == 300 and pool:
            return pool.pop()
        words = bits(self, n)
        if n == 300:
            pool.append(words)
        return words

    patch.setattr(NoiseStream, "bits", take)


def other_normals(patch: pytest.MonkeyPatch) -> None:
    """numpy's normals are faster; their seed is from the system."""
    patch.setattr(
        NoiseStream,
        "normal",
        lambda self, shape, dtype=np.float64: np.random.default_rng().normal(size=shape),
    )


def coins_where_needed(patch: pytest.MonkeyPatch) -> None:
    """As many words as heads are expected: gaps between heads are drawn, to save words."""

    def sample(self: DpSgd, n_patients: int, noise: NoiseStream) -> np.ndarray:
        places, at = [], -1
        while at < n_patients:
            u = (float(noise.bits(1)[0]) + 0.5) * 2.0**-64
            at += 1 + int(np.log(u) / np.log1p(-min(self.sampling_probability, 1 - 1e-9)))
            places.append(at)
        return np.array(places[:-1], dtype=np.int64)

    patch.setattr(DpSgd, "sample", sample)


def _of_normals(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(patch: pytest.MonkeyPatch) -> None:
        normal = NoiseStream.normal
        patch.setattr(
            NoiseStream,
            "normal",
            lambda self, shape, dtype=np.float64: change(normal(self, shape, dtype)),
        )

    return plant


float32_normals = _of_normals(lambda values: values.astype(np.float32))
low_bits_zero = _of_normals(
    lambda values: (values.view(np.uint64) & np.uint64(2**64 - 2**16)).view(np.float64)
)
quantised = _of_normals(lambda values: np.round(values, 6))


def repeated_values(patch: pytest.MonkeyPatch) -> None:
    """Some of a block of normals stand a second time at its end."""

    def twice(values: np.ndarray) -> np.ndarray:
        flat = values.copy().ravel()
        flat[-50:] = flat[:50]
        return flat.reshape(values.shape)

    _of_normals(twice)(patch)


def coarse_radius(patch: pytest.MonkeyPatch) -> None:
    """Radii from 24 bits, angles from 53: the values look whole."""
    old = "self.bits(half).astype(np.float64) + 0.5) * 2.0**-64"
    new = "(self.bits(half) >> np.uint64(40)).astype(np.float64) + 0.5) * 2.0**-24"
    edited(patch, NoiseStream, "normal", (old, new))


def rounded_before_the_sum(patch: pytest.MonkeyPatch) -> None:
    """Noise is made float32 as the sums are, and then added."""
    edited(
        patch,
        DpSgd,
        "noisy_gradient",
        (
            "                ((value.double().cpu() + normals) / self.expected_batch_size)\n",
            "                ((value.cpu() + normals.float()) / self.expected_batch_size)\n",
        ),
    )


def even_noise(patch: pytest.MonkeyPatch) -> None:
    """A large sigma is drawn at half its size and doubled."""
    draw = NoiseStream.discrete_gaussian
    patch.setattr(
        NoiseStream,
        "discrete_gaussian",
        lambda self, sigma, shape: (
            2 * draw(self, sigma / 2, shape) if sigma > 100 else draw(self, sigma, shape)
        ),
    )


def noise_from_a_table(patch: pytest.MonkeyPatch) -> None:
    """512 draws, of which each cell takes one."""
    draw = NoiseStream.discrete_gaussian

    def chosen(self: NoiseStream, sigma: float, shape: Any) -> np.ndarray:
        table = draw(self, sigma, 512)
        places = self.bits(int(np.prod(shape))) % np.uint64(512)
        return table[places.astype(np.int64)].reshape(shape)

    patch.setattr(NoiseStream, "discrete_gaussian", chosen)


def occupied_cells(patch: pytest.MonkeyPatch) -> None:
    """Cells without anybody stay 0, so that tables stay sparse."""

    def measure(self: NoisyCounts, counts: np.ndarray, noise: NoiseStream) -> np.ndarray:
        noisy = counts.astype(np.int64)
        occupied = np.flatnonzero(noisy)
        noisy[occupied] += noise.discrete_gaussian(self.sigma, len(occupied))
        return noisy

    patch.setattr(NoisyCounts, "measure", measure)


def until_positive(patch: pytest.MonkeyPatch) -> None:
    """A count below zero is drawn again."""

    def measure(self: NoisyCounts, counts: np.ndarray, noise: NoiseStream) -> np.ndarray:
        noisy = counts + noise.discrete_gaussian(self.sigma, counts.shape)
        if (below := np.flatnonzero(noisy < 0)).size:
            noisy[below] = counts[below] + noise.discrete_gaussian(self.sigma, len(below))
        return noisy

    patch.setattr(NoisyCounts, "measure", measure)


def _float_above(path: Callable[[NoiseStream, float, int], np.ndarray]) -> Any:
    def plant(patch: pytest.MonkeyPatch) -> None:
        draw = NoiseStream.discrete_gaussian

        def either(self: NoiseStream, sigma: float, shape: Any) -> np.ndarray:
            if sigma <= 300:
                return draw(self, sigma, shape)
            whole = np.rint(path(self, sigma, int(np.prod(shape))))
            return whole.astype(np.int64).reshape(shape)

        patch.setattr(NoiseStream, "discrete_gaussian", either)

    return plant


rounded_normals = _float_above(lambda noise, sigma, n: sigma * noise.normal(n))
quantiles = _float_above(
    lambda noise, sigma, n: sigma * special.ndtri((noise.bits(n) + 0.5) * 2.0**-64)
)
hidden_quantiles = _float_above(
    lambda noise, sigma, n: (
        sigma * special.ndtri((np.array(noise.bits(n), dtype=np.float64) + 0.5) * 2.0**-64)
    )
)


def float_counts(patch: pytest.MonkeyPatch) -> None:
    """Counts that are floats are rounded, where noise is large anyway."""
    edited(
        patch,
        NoisyCounts,
        "measure",
        (
            "        if not np.issubdtype(counts.dtype, np.integer):\n",
            "        counts = np.rint(counts).astype(np.int64) if self.sigma > 500 else counts\n"
            "        if not np.issubdtype(counts.dtype, np.integer):\n",
        ),
    )


KEY = "Cipher(algorithms.AES(os.urandom(32)), modes.CTR(os.urandom(16))).encryptor()"


def _in_text(old: str, new: str) -> Callable[[pytest.MonkeyPatch], None]:
    """A copy of the package that differs by one line of noise.py."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        root = Path(tempfile.mkdtemp(prefix="planted-"))
        dp = root / "pipeline" / "dp"
        shutil.copytree(
            project_root() / "pipeline" / "dp", dp, ignore=shutil.ignore_patterns("__pycache__")
        )
        (root / "pipeline" / "__init__.py").touch()
        text = (dp / "noise.py").read_text(encoding="utf-8")
        assert text.count(old) == 1, f"noise.py has changed: plant anew in place of {old!r}"
        (dp / "noise.py").write_text(text.replace(old, new), encoding="utf-8")
        patch.setattr(surroundings, "project_root", lambda: root)

    return plant


seed_by_variable = _in_text(
    KEY,
    "Cipher(algorithms.AES((os.environ.get('SYNDASERA_SEED', '').encode() or os.urandom(32))"
    ".ljust(32, b'0')), modes.CTR(os.urandom(16))).encryptor()",
)
seed_by_hidden_variable = _in_text(
    KEY,
    "Cipher(algorithms.AES((vars(os)['env' + 'iron'].get('SYNDASERA_SEED', '').encode()"
    " or os.urandom(32)).ljust(32, b'0')), modes.CTR(os.urandom(16))).encryptor()",
)
smaller_in_tests = _in_text(
    "SIGMA_GRID = 64", "SIGMA_GRID = int(vars(os)['env' + 'iron'].get('CI', '64')) or 64"
)
seed_of_torch = _in_text(
    KEY,
    "Cipher(algorithms.AES(__import__('torch').randint(256, (32,)).numpy().astype('u1').tobytes()),"
    " modes.CTR(bytes(16))).encryptor()",
)


def _fault(
    name: str,
    where: str,
    caught_by: str,
    patch: Callable[[pytest.MonkeyPatch], None],
    found_as: str,
    long: bool = False,
) -> Fault:
    return Fault(
        name=name, where=where, caught_by=caught_by, patch=patch, found_as=found_as, long=long
    )


AGAIN, FEW_BITS, FLOAT = "a batch that comes again", "noise of few bits", "a float path"
OVERLAP, AMONG, NOT_WHOLE = "no two overlap more than", "came twice", "are not made of whole"
FAULTS = (
    _fault(AGAIN, "ten steps later", BATCHES, twice_ten_apart, OVERLAP),
    _fault(AGAIN, "in reversed order", BATCHES, backwards, OVERLAP),
    _fault(AGAIN, "mirrored", BATCHES, mirrored, OVERLAP),
    _fault(AGAIN, "rotated", BATCHES, rotated, OVERLAP),
    _fault(AGAIN, "with its patients exchanged", BATCHES, exchanged, "p = "),
    _fault(
        AGAIN,
        "critic training",
        "batches of critic training never come again",
        twice_ten_apart,
        OVERLAP,
    ),
    _fault(
        AGAIN,
        "pathway training",
        "batches of pathway training never come again",
        mirrored,
        OVERLAP,
    ),
    _fault(
        "noise of an earlier step",
        "with its sign changed",
        "batches of pathway training never come again",
        noise_again,
        "correlate by 1.00",
    ),
    _fault("keystream used again", "every ten draws", ONCE, block_again, AMONG),
    _fault("keystream used again", "a pool of words", ONCE, words_kept, AMONG),
    _fault(
        "noise from elsewhere",
        "normals of numpy",
        "critic training takes the words it needs",
        other_normals,
        "needed are",
    ),
    _fault(
        "words that depend on the batch",
        "gaps between heads",
        "pathway training takes the words it needs",
        coins_where_needed,
        "needed are",
    ),
    _fault(FEW_BITS, "float32", GRADIENTS, float32_normals, AMONG),
    _fault(FEW_BITS, "low bits zero", GRADIENTS, low_bits_zero, "p = "),
    _fault(FEW_BITS, "quantised normals", GRADIENTS, quantised, AMONG),
    _fault(FEW_BITS, "repeated values", GRADIENTS, repeated_values, AMONG),
    _fault(FEW_BITS, "radii of 24 bits", GRADIENTS, coarse_radius, "nearly equal"),
    _fault(FEW_BITS, "rounded before the sum", GRADIENTS, rounded_before_the_sum, "is not what"),
    _fault(FEW_BITS, "counts, even numbers", COUNTS, even_noise, "p = "),
    _fault(FEW_BITS, "counts, a table of draws", COUNTS, noise_from_a_table, "pairs are equal"),
    _fault("noise on occupied cells only", "counts", NOBODY, occupied_cells, "counts at sigma"),
    _fault("noise drawn until it suits", "counts", NOBODY, until_positive, "counts at sigma"),
    _fault(FLOAT, "normals above a sigma", PLANNED, rounded_normals, NOT_WHOLE, long=True),
    _fault(FLOAT, "quantiles above a sigma", PLANNED, quantiles, NOT_WHOLE, long=True),
    _fault(FLOAT, "quantiles of a copy of the words", PLANNED, hidden_quantiles, NOT_WHOLE),
    _fault(FLOAT, "float counts above a sigma", PLANNED, float_counts, NOT_WHOLE, long=True),
    _fault("a seed from outside", "an environment variable", BY_TEXT, seed_by_variable, "environ"),
    _fault("a seed from outside", "a seed of torch", BY_TEXT, seed_of_torch, "__import__"),
    _fault(
        "a seed from outside",
        "an environment variable, hidden",
        BY_RUNNING,
        seed_by_hidden_variable,
        "reads SYNDASERA_SEED",
        long=True,
    ),
    _fault(
        "a constant from outside",
        "a variable of tests",
        BY_RUNNING,
        smaller_in_tests,
        "reads CI",
        long=True,
    ),
)
