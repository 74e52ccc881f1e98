"""Which form the state of a home has: one number, in `state/version`. A change of the code after
which older code would misread the state, or newer code must change it first, counts it up and adds
a step to `pipeline/migrations.py`.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import files
from pipeline.refusal import Refusal

VERSION = 3  # of the state that this code writes
_UNNUMBERED = 1  # states were not numbered before 2
_NAME = "version"


def version_of(state: Path) -> int | None:
    """The number of a home's state; None where nothing lies there, and for a reader of the released
    zone, who may not see it. Raises Refusal for a text that is no number.
    """
    try:
        if not state.is_dir() or not any(state.iterdir()):
            return None
        path = state / _NAME
        text = path.read_text(encoding="utf-8").strip() if path.is_file() else str(_UNNUMBERED)
    except PermissionError:
        return None
    if not text.isdigit() or int(text) < _UNNUMBERED:
        raise Refusal(
            f"state/{_NAME} is damaged: it holds no number. Restore it from the backup (backup.json"
            " there names it)"
        )
    return int(text)


def refuse_newer(state: Path) -> None:
    """Raises Refusal for the state of a later version of the code, before anything reads it."""
    number = version_of(state)
    if number is not None and number > VERSION:
        raise Refusal(
            f"this state was written by a newer Syndasera (version {number} of the state; this one"
            f" reads up to {VERSION}): use that version of the code, or restore a backup that was"
            " made before the upgrade. Nothing was read or changed"
        )


def write_version(state: Path, number: int = VERSION) -> None:
    files.write_text(state / _NAME, f"{number}\n")
