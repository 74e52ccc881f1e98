"""When the last backup of a home was made, noted in `restricted/backup.json` by who makes it."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline import files
from pipeline.catalog import Home
from pipeline.refusal import Refusal


def note(home: Home, made_at: datetime) -> None:
    """Notes a sound backup that holds what was there at `made_at`, with a time zone."""
    files.private_folder(home.backup_note.parent)
    files.write_json(home.backup_note, {"made_at": made_at.isoformat(timespec="seconds")})


def last_backup(home: Home) -> datetime | None:
    """UTC; None where none was noted. Raises Refusal for a note that cannot be read."""
    note = files.read_json(home.backup_note, {})
    text = note.get("made_at") if isinstance(note, dict) else None
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        raise Refusal(
            "state/restricted/backup.json says no time: make a backup, which writes it anew"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
