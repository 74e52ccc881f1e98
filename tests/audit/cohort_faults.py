"""A planted fault in the register of cohorts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pipeline.restricted.ingest.cohorts import Register


@dataclass(frozen=True)
class Fault:
    name: str
    caught_by: str  # name of the check
    patch: Callable[[pytest.MonkeyPatch], None]


def _as_the_column_says(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Register, "assign", lambda self, identities, cohorts: cohorts)


FAULTS = (Fault("a cohort that moves", "nobody moves between cohorts", _as_the_column_says),)
