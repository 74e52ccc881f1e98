"""Where another host finds what a training kept: counts, picks, checkpoints."""

from __future__ import annotations

from typing import Protocol


class Mirror(Protocol):
    """Objects that outlive the host, each written once under its name.

    What is kept here is relied upon only after it was kept; whoever comes second uses what is
    there.
    """

    def keep(self, name: str, content: bytes) -> bytes:
        """Writes the object if there is none, and notes it. Returns what is there: this, or
        another's.
        """

    def find(self, name: str) -> bytes | None:
        """What was kept; None where nothing was. Raises MechanismError where it was noted and is
        gone or changed.
        """

    def newest(self, name: str) -> int:
        """The largest number n of what was kept or noted as `<name>.<n>`; 0 where there is none."""
