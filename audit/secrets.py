"""Secrets (privacy_rules.md 12): no key, counter, keystream or drawn noise of a whole run stands in
a file, a log line or MLflow afterwards.

A run has real noise. Every key and counter that makes a cipher, and all randomness that this
project's code asks the system for, are recorded on the way, and looked for below the home in every
form that code would write: raw bytes, hexadecimal, base64, a list of numbers. The secrets that are
kept are the holdout's permanent key, in its own file, and the salts of the ledger, in the ledger.
"""

from __future__ import annotations

import base64
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from audit import people
from audit.findings import Check, Finding
from audit.frozen_runs import SAMPLE_POPULATION, prepared_home, run_stages
from audit.hurry import few_steps
from audit.visible import listening
from pipeline.catalog import Home
from pipeline.dp import noise
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.restricted.ingest.holdout import KEY_NAME

LEAST = 16  # bytes of a secret that is worth looking for
CELLS = 12  # of a block's noise
# who keeps what it draws, and where
OWN_FILES = {"pipeline.restricted.ingest.holdout": KEY_NAME, "pipeline.ledger.chain": "ledger.db"}


@dataclass
class Secrets:
    """What was drawn: keys and counters whole, with the name of the one file where each may stand;
    of keystreams and normals every 64-bit word; of the noise of counts some cells.
    """

    keys: dict[bytes, str | None] = field(default_factory=dict)
    cells: set[bytes] = field(default_factory=set)
    words: list[np.ndarray] = field(default_factory=list)

    @property
    def all_words(self) -> np.ndarray:
        return np.unique(np.concatenate([np.zeros(0, np.uint64), *self.words]))


@contextmanager
def recording() -> Iterator[Secrets]:
    """Records what is secret while the block runs. Nothing is made predictable."""
    secrets, system = Secrets(), os.urandom
    aes, counter = noise.algorithms.AES.__init__, noise.modes.CTR.__init__
    bits, normal, measure = NoiseStream.bits, NoiseStream.normal, NoisyCounts.measure

    def urandom(size: int) -> bytes:
        secret = system(size)
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        # uuid's become names, which are no secret
        if size >= LEAST and caller.startswith("pipeline"):
            secrets.keys[secret] = OWN_FILES.get(caller)
        return secret

    def note_key(self: Any, key: bytes) -> None:
        secrets.keys[bytes(key)] = None
        aes(self, key)

    def note_counter(self: Any, nonce: bytes) -> None:
        secrets.keys[bytes(nonce)] = None
        counter(self, nonce)

    def stream(self: NoiseStream, n: int) -> np.ndarray:
        secrets.words.append(np.array(words := bits(self, n)))
        return words

    def normals(self: NoiseStream, shape: Any, dtype: Any = np.float64) -> np.ndarray:
        values = normal(self, shape, dtype)
        secrets.words.append(np.ascontiguousarray(values, np.float64).ravel().view(np.uint64))
        return values

    def note_cells(self: NoisyCounts, counts: np.ndarray, noise: NoiseStream) -> np.ndarray:
        noisy = measure(self, counts, noise)
        secrets.cells |= _cells(counts.ravel(), (noisy - counts).ravel())
        return noisy

    with (
        patch.object(os, "urandom", urandom),
        patch.object(noise.algorithms.AES, "__init__", note_key),
        patch.object(noise.modes.CTR, "__init__", note_counter),
        patch.object(NoiseStream, "bits", stream),
        patch.object(NoiseStream, "normal", normals),
        patch.object(NoisyCounts, "measure", note_cells),
    ):
        yield secrets


def _cells(counts: np.ndarray, noise: np.ndarray) -> set[bytes]:
    """Some of a block's noise, as bytes and as text, around a cell that somebody is in: where
    nobody is, what is given out is the noise itself.
    """
    occupied = np.flatnonzero(counts)
    if not occupied.size or noise.size < CELLS:
        return set()
    first = min(max(int(occupied[0]) - CELLS // 2, 0), noise.size - CELLS)
    chosen = noise[first : first + CELLS].astype(np.int64)
    if len(np.unique(chosen)) <= CELLS // 2:  # might stand somewhere by chance
        return set()
    return {
        chosen.tobytes(),
        ", ".join(map(str, chosen)).encode(),
        ",".join(map(str, chosen)).encode(),
    }


def forms(secret: bytes) -> set[bytes]:
    """How code would write it: as it is, in hexadecimal, in base64, as JSON's list of numbers."""
    numbers = ", ".join(map(str, secret)).encode()
    return {
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
        numbers,
        numbers.replace(b" ", b""),
    }


def leaks(secrets: Secrets, root: Path, lines: list[str]) -> list[str]:
    """The files below `root`, and lines, that hold one."""
    owners = {form: own for secret, own in secrets.keys.items() for form in forms(secret)}
    words = secrets.all_words
    places = [
        f"a line that begins {line[:40]!r}"
        for line in lines
        if any(form in line.encode() for form in owners)
    ]
    for path in sorted(
        path for path in root.rglob("*") if path.is_file() and not path.is_symlink()
    ):
        content = _unpacked(path)
        if any(form in content for form, own in owners.items() if path.name != own):
            places.append(f"{path.relative_to(root)} holds a key")
        elif any(cells in content for cells in secrets.cells) or _holds_words(content, words):
            places.append(f"{path.relative_to(root)} holds drawn noise")
    return places


def _unpacked(path: Path) -> bytes:
    """The content; that of git's objects, which are compressed."""
    content = path.read_bytes()
    if "objects" in path.parts:
        try:
            return zlib.decompress(content)
        except zlib.error:
            return content
    return content


def _holds_words(content: bytes, words: np.ndarray) -> bool:
    """Whether two of these words stand in the content, at whatever place: one alone may be chance,
    as zero is.
    """
    for offset in range(min(8, len(content))):
        there = np.frombuffer(content, np.uint64, count=(len(content) - offset) // 8, offset=offset)
        hits = there[np.isin(there, words, assume_unique=False)]
        if len(np.unique(hits[hits > 2**20])) > 1:
            return True
    return False


def _whole_run(folder: Path) -> Finding:
    source, home = people.extract(60, 8).write(folder / "source"), Home(folder / "home")
    with (
        prepared_home(SAMPLE_POPULATION, home),
        few_steps(),
        recording() as secrets,
        listening() as lines,
    ):
        run_stages(SAMPLE_POPULATION, home, source)
    if not any(len(key) == 32 for key in secrets.keys) or not secrets.words:
        return Finding(holds=False, message="no key and no noise was drawn: nothing was looked for")
    places = leaks(secrets, home.root, lines)
    files = sum(path.is_file() for path in home.root.rglob("*"))
    figures = {
        "keys and counters": len(secrets.keys),
        "words of noise": len(secrets.all_words),
        "files": files,
        "lines": len(lines),
    }
    if places:
        return Finding(
            holds=False,
            message=f"secrets are left behind: {'; '.join(places[:4])}",
            figures=figures,
        )
    scope = (
        f"none of {len(secrets.keys)} keys and of {len(secrets.all_words):,} words of noise stands"
        f" in {files} files or {len(lines)} lines"
    )
    return Finding(
        holds=True,
        figures=figures,
        message=f"{scope}, but for the holdout's key and the ledger's salts in their own files",
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name="no secret is left behind",
        family="sampler",
        run=_whole_run,
        asks=(
            "after a whole run, no key, counter, keystream or drawn noise stands in any file below"
            " the home, in MLflow or in what was said"
        ),
    ),
)
