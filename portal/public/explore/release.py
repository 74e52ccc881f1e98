"""One published release as the dashboard reads it: its declaration, its card, where its files lie.
Only what lies in the released folder is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.catalog import Home, Release
from pipeline.schema.values import Schema
from portal.public.declarations import declaration
from portal.public.releases import published

LAYOUT = "2"  # of the explore table; another one is built anew


@dataclass(frozen=True)
class Published:
    """A release by its id."""

    release_id: str
    release: Release
    schema: Schema
    card: Mapping[str, Any]
    cache: Path  # where its explore table is kept: changes with its files and our layout

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
    """Raises 404 where nothing is published under the id."""
    one = published.find(home, release_id)
    checksum = hashlib.sha256(LAYOUT.encode() + one.folder.manifest.read_bytes()).hexdigest()
    return Published(
        release_id=release_id,
        release=one.folder,
        schema=declaration(one.folder.dataset),
        card=one.card,
        cache=home.portal_cache / f"{release_id}-{checksum[:16]}.duckdb",
    )
