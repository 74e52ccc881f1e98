"""When the last backup of a home was made, noted in `restricted/backup.json` by who makes it; of
several hosts in the checkpoint store, by who saves their parts.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pipeline import files
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.runs.object_store import checkpoint_store

_OBJECT = "backup.json"  # in the checkpoint store


def note(home: Home, made_at: datetime) -> None:
    """Notes a sound backup that holds what was there at `made_at`, with a time zone."""
    content = {"made_at": made_at.isoformat(timespec="seconds")}
    if home.deployment.is_shared:
        checkpoint_store(home).put(_OBJECT, json.dumps(content).encode())
        return
    files.private_folder(home.backup_note.parent)
    files.write_json(home.backup_note, content)


def last_backup(home: Home) -> datetime | None:
    """UTC; None where none was noted. Raises Refusal for a note that cannot be read."""
    note = _read(home)
    text = note.get("made_at") if isinstance(note, dict) else None
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        raise Refusal(
            "the note of the last backup (backup.json) says no time: make a backup, which writes it"
            " anew"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _read(home: Home) -> Any:
    if not home.deployment.is_shared:
        return files.read_json(home.backup_note, {})
    content = checkpoint_store(home).get(_OBJECT)
    return {} if content is None else json.loads(content)
