"""What an audit asks, and what it finds."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from unittest.mock import patch

from pipeline import workers

FAMILIES = ("mechanisms", "frozen mechanisms", "stability", "adaptive adversary", "sampler")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The answer to one check. Audits run on simulated patients, so nothing in it is sensitive."""

    holds: bool
    message: str  # one sentence: what was measured, beside the claim
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question. `run` gets an empty folder of its own; what it raises counts as a breach."""

    name: str
    family: str  # one of FAMILIES
    asks: str  # the condition, in a sentence
    run: Callable[[Path], Finding]
    long: bool = False  # performed by the long set alone

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(
                f"check {self.name}: family must be one of {', '.join(FAMILIES)}, got"
                f" {self.family!r}"
            )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A check, what it found, and how long that took."""

    check: Check
    finding: Finding
    seconds: float


def perform(check: Check, folder: Path) -> Answer:
    """Runs one check. An exception is a finding that does not hold: the project's own guards stop
    many breaches by themselves.

    All work is done in this process: what a check puts in the place of code is not there in others.
    """
    started = perf_counter()
    try:
        with patch.object(workers, "PROCESSES", 1):
            finding = check.run(folder)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        finding = Finding(
            holds=False,
            message=(
                f"stopped by {type(error).__name__} in {Path(place.filename).name}, {place.name}:"
                f" {error}"
            ),
        )
    return Answer(check=check, finding=finding, seconds=perf_counter() - started)
