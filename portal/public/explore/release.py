"""One published release as the dashboard reads it: its declaration, its card, where its files lie.
Only what lies in the released folder is read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.catalog import Home, Release
from pipeline.params import RELEASE_ID
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

LAYOUT = "2"  # of the explore table; another one is built anew


class NoRelease(LookupError):
    """No release of this id is published."""


@dataclass(frozen=True)
class Published:
    """A release by its id. `state`: a text that changes with its files and our layout."""

    release_id: str
    state: str
    release: Release
    schema: Schema
    card: dict[str, Any]
    cache: Path  # where its explore table is kept

    @property
    def title(self) -> str:
        return self.schema.title

    @property
    def epsilon(self) -> float:
        return float(self.card["privacy"]["epsilon"])

    @property
    def not_for(self) -> str:
        return str(self.card["use"]["not_for"])


def find(home: Home, release_id: str) -> Published:
    """Raises NoRelease for an id of another form, and where nothing is published under it."""
    if not RELEASE_ID.fullmatch(release_id):
        raise NoRelease(release_id)
    release = home.release(release_id)
    try:
        manifest = release.manifest.stat()
    except OSError as error:
        raise NoRelease(release_id) from error
    return _read(home, release_id, manifest.st_mtime_ns, manifest.st_ino)


@lru_cache(maxsize=16)
def _read(home: Home, release_id: str, *_: int) -> Published:
    """The further arguments tell one state of the file from another."""
    release = home.release(release_id)
    checksum = hashlib.sha256(LAYOUT.encode() + release.manifest.read_bytes()).hexdigest()
    return Published(
        release_id=release_id,
        state=checksum[:16],
        release=release,
        schema=read_schema(release.dataset),
        card=json.loads(release.card.read_text(encoding="utf-8")),
        cache=home.portal_cache / f"{release_id}-{checksum[:16]}.duckdb",
    )
