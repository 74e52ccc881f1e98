"""Noisy integer counts: the mechanism, the counts it is given, and a store that measures each of
them once.

Contract of every count here: one patient adds at most 1 to at most one cell, so that adding or
removing the patient moves the vector by at most 1. Who calls keeps it by handing in exactly one
code per patient (privacy_rules.md 8); tests on neighbours check it.
"""

import io
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import dp_accounting as dpa
import numpy as np

from pipeline.dp.errors import MechanismError
from pipeline.dp.events import DiscreteGaussianDpEvent, composed
from pipeline.dp.mirror import Mirror
from pipeline.dp.noise import NoiseStream, sigma_on_grid
from pipeline.dp.selection import PrivateChoice

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class NoisyCounts:
    """Integer counts plus a discrete Gaussian on each cell. Fields are public; patients' counts
    arrive only as arguments.

    Privacy unit: one patient. Neighbours: add or remove one patient. Sensitivity: 1, in one cell.
    """

    name: str  # unique within a release
    sigma: float  # rounds up to a multiple of 1/64, for the noise and for the accountant alike
    cells: int  # declared maximum of cells; never the number that occurs in rows

    def __post_init__(self) -> None:
        sigma_on_grid(self.sigma)
        if not self.name:
            raise MechanismError("a NoisyCounts needs a name: it is stored under it")
        if self.cells < 1:
            raise MechanismError(f"{self.name}: cells must be at least 1, got {self.cells}")

    @property
    def dp_event(self) -> dpa.DpEvent:
        """What is accounted: the noise that `measure` adds. It does not depend on the
        number of cells.
        """
        return DiscreteGaussianDpEvent(sigma_on_grid(self.sigma))

    def measure(self, counts: Array, noise: NoiseStream) -> Array:
        """counts + noise, int64 of the same shape. Safe to keep; may be negative.

        Canonne, Kamath, Steinke 2020 (arxiv.org/abs/2004.00010). Raises MechanismError for counts
        that are not integers, or more cells than declared.
        """
        if not np.issubdtype(counts.dtype, np.integer):
            raise MechanismError(
                f"{self.name}: counts must be integers until noise is on them, got {counts.dtype}"
            )
        if counts.size > self.cells:
            raise MechanismError(
                f"{self.name}: {counts.size} cells, but {self.cells} were declared"
            )
        return counts.astype(np.int64) + noise.discrete_gaussian(self.sigma, counts.shape)


Storable = NoisyCounts | PrivateChoice  # what a store keeps the results of


def one_way_counts(codes: Array, size: int) -> Array:
    """How many patients have each code: int64 [size]. codes [n] in [0, size), one per patient; n
    may be 0. Raises MechanismError for codes that are no column of integers in that range.
    """
    return np.bincount(_checked(codes, size), minlength=size).astype(np.int64, copy=False)


def pair_counts(codes_i: Array, codes_j: Array, size_i: int, size_j: int) -> Array:
    """How many patients have each pair of codes: int64 [size_i, size_j]. Both codes [n], row r of
    both the same patient. Raises MechanismError as `one_way_counts` does.
    """
    if len(codes_i) != len(codes_j):
        raise MechanismError(
            "the two columns have different lengths: row r of both must be the same patient"
        )
    joint = _checked(codes_i, size_i) * size_j + _checked(codes_j, size_j)
    return one_way_counts(joint, size_i * size_j).reshape(size_i, size_j)


def tree_counts(codes_fine: Array, branching: int, depth: int) -> list[Array]:
    """Counts of a column over a public grid at every level below the root: [branching],
    [branching^2], ... [branching^depth].

    codes_fine [n] in [0, branching^depth), one per patient. Each level is one NoisyCounts of its
    own; charge them all (privacy_rules.md 10). Raises MechanismError as `one_way_counts` does.

    >>> [level.tolist() for level in tree_counts(np.array([0, 1, 3]), 2, 2)]
    [[2, 1], [1, 1, 0, 1]]
    """
    level = one_way_counts(codes_fine, branching**depth)
    levels = [level]
    for _ in range(depth - 1):
        level = level.reshape(-1, branching).sum(axis=1)
        levels.append(level)
    return levels[::-1]


class MeasurementStore:
    """A folder of noisy counts and private choices, each written whole before anybody sees it and
    never measured again (privacy_rules.md 12).

    With a mirror, each is there before it is here: another host that goes on finds it, and of two
    hosts that measure at once both use the one that was there first.
    """

    def __init__(self, path: str | Path, mirror: Mirror | None = None) -> None:
        self._folder, self._mirror = Path(path), mirror
        self._folder.mkdir(parents=True, exist_ok=True)
        # beside the folder: says what must be in it
        self._index = self._folder.with_name(f"{self._folder.name}.measured")

    def get_or_measure(
        self, mechanism: Storable, counts_fn: Callable[[], Array], noise: NoiseStream
    ) -> Array:
        """The stored measurement of this mechanism, or a new one that is stored first. counts_fn()
        reads rows only when there is none.

        Two processes that measure at once end with the one that was stored first; the other noise
        is discarded unseen.

        Raises MechanismError where another mechanism is stored under this name, or its file was
        there once and is gone.
        """
        file = self._folder / f"{sha256(mechanism.name.encode()).hexdigest()[:32]}.npz"
        was_measured = (
            self._index.is_file() and file.stem in self._index.read_text(encoding="ascii").split()
        )
        self._fetch(file)
        # asked second: the file is there before its line in the index, whoever measures beside us
        if not file.exists():
            if was_measured:
                raise MechanismError(
                    f"{mechanism.name} was measured once and {file.name} is gone: to measure again"
                    f" would be another charge; put {self._folder.name}/ back, or use a new"
                    " release id"
                )
            self._write_once(file, mechanism, mechanism.measure(counts_fn(), noise))
        earlier, counts = _read(file)
        if earlier != mechanism:
            raise MechanismError(
                f"{mechanism.name} was already measured as {earlier}, asked for {mechanism}:"
                " a count is never measured twice; use a new release id"
            )
        return counts

    def measured_event(self) -> dpa.ComposedDpEvent:
        """The canonical event of everything measured so far, read from the files themselves."""
        return composed(_read(file)[0].dp_event for file in sorted(self._folder.glob("*.npz")))

    def names(self) -> list[str]:
        """Of what was measured, sorted."""
        return sorted(_read(file)[0].name for file in self._folder.glob("*.npz"))

    def _fetch(self, file: Path) -> None:
        """What the mirror holds of this file is here, too. Raises MechanismError where the two
        differ, or the mirror lost it.
        """
        if self._mirror is None:
            return
        name = f"{self._folder.name}/{file.name}"
        there = self._mirror.find(name)
        if file.exists():
            if (there or self._mirror.keep(name, file.read_bytes())) != file.read_bytes():
                raise MechanismError(
                    f"{file.name} is another measurement than the one that was kept first: remove"
                    f" {self._folder.name}/ here, and the first one is used"
                )
        elif there is not None:
            self._put(file, there)

    def _write_once(self, file: Path, mechanism: Storable, noisy: Array) -> None:
        content = io.BytesIO()
        np.savez(content, counts=noisy, mechanism=np.array(json.dumps(asdict(mechanism))))
        result = content.getvalue()
        if self._mirror is not None:
            result = self._mirror.keep(f"{self._folder.name}/{file.name}", result)
        self._put(file, result)

    def _put(self, file: Path, content: bytes) -> None:
        with NamedTemporaryFile(dir=self._folder, suffix=".tmp", delete=False) as temporary:
            temporary.write(content)
            temporary.flush()
            os.fsync(temporary.fileno())
        try:
            os.link(temporary.name, file)  # unlike a rename, fails where the file is there already
        except FileExistsError:
            pass
        finally:
            Path(temporary.name).unlink()
        _fsync_folder(self._folder)
        with self._index.open("a", encoding="ascii") as index:
            index.write(f"{file.stem}\n")
            index.flush()
            os.fsync(index.fileno())


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(file: Path) -> tuple[Storable, Array]:
    with np.load(file, allow_pickle=False) as content:
        fields = json.loads(str(content["mechanism"]))
        kind = PrivateChoice if "picks" in fields else NoisyCounts
        return kind(**fields), content["counts"]


def _checked(codes: Array, size: int) -> Array:
    """The codes as int64. The message names no value: a code is a patient's."""
    if size < 1:
        raise MechanismError(f"size must be at least 1, got {size}")
    if not np.issubdtype(codes.dtype, np.integer):
        raise MechanismError(f"codes must be integers, got {codes.dtype}")
    if codes.ndim != 1:
        raise MechanismError(f"codes must be one column, got {codes.ndim} dimensions")
    if codes.size and not (int(codes.min()) >= 0 and int(codes.max()) < size):
        raise MechanismError(
            f"a code lies outside [0, {size}): encode the column with its declared domain first"
        )
    return codes.astype(np.int64, copy=False)
