"""The published releases, read from the released zone: card, manifest, and no file that the
manifest does not name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from pipeline import files
from pipeline.catalog import Home, Release
from pipeline.params import RELEASE_ID

# What cards of before these facts were noted lack.
OLDER: dict[str, Any] = {"evidence": None, "plan": None, "gate_warnings": []}


@dataclass(frozen=True)
class ReleasedFile:
    """One file of a release, as its manifest lists it."""

    path: str  # below the release's folder, with /
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Published:
    """One release."""

    id: str
    folder: Release
    card: Mapping[str, Any]
    manifest: Mapping[str, Any]
    files: Mapping[str, ReleasedFile]  # by path

    def below(self, folder: str) -> Sequence[ReleasedFile]:
        """The files of a folder, such as "extract/csv"."""
        return [one for path, one in self.files.items() if path.startswith(f"{folder}/")]

    def location(self, path: str) -> Path:
        """Where a file lies. Raises 404 for every path that the manifest does not list, and for
        one that leads out of the release.
        """
        if path not in self.files:
            raise HTTPException(404)
        location = self.folder.root / path
        if not location.resolve().is_relative_to(self.folder.root.resolve()):
            raise HTTPException(404)
        if not location.is_file():
            raise HTTPException(404)
        return location


def every(home: Home) -> list[Published]:
    """All published releases, the newest first, by the entry that the card names; a draw stands
    before the release whose model it was drawn from.
    """
    paths = sorted(home.published.glob("[!.]*"))
    releases = [
        _read(path) for path in paths if RELEASE_ID.fullmatch(path.name) and _is_whole(path)
    ]
    by_id = {one.id: one for one in releases}

    def age(one: Published) -> tuple[tuple[bool, int], bool, str]:
        model_of = one.card["drawn_from"]
        return (_entry(by_id.get(model_of, one)), model_of is not None, one.id)

    return sorted(releases, key=age, reverse=True)


def find(home: Home, release_id: str) -> Published:
    """One release. Raises 404 where there is none of this id."""
    path = home.published / release_id
    if not RELEASE_ID.fullmatch(release_id) or not _is_whole(path):
        raise HTTPException(404)
    return _read(path)


def balances(releases: Sequence[Published]) -> dict[str, Mapping[str, Any]]:
    """{population: what the newest card says of its budget}."""
    newest: dict[str, Mapping[str, Any]] = {}
    for one in releases:
        privacy = one.card["privacy"]
        last = newest.get(privacy["population"])
        if last is None or last["releases_charged"] < privacy["releases_charged"]:
            newest[privacy["population"]] = privacy
    return newest


def _is_whole(path: Path) -> bool:
    # the manifest is written last
    return Release(path).manifest.is_file() and Release(path).card.is_file()


def _entry(one: Published) -> tuple[bool, int]:
    """In the transparency log; cards of before there was one name the ledger's, and are older."""
    privacy = one.card["privacy"]
    return "log_entry" in privacy, privacy.get("log_entry", privacy.get("ledger_entry"))


def _read(path: Path) -> Published:
    facts = Release(path).manifest.stat()
    return _remembered(path, facts.st_ino, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=200)
def _remembered(path: Path, _inode: int, _changed: int, _size: int) -> Published:
    """A release never changes; a folder put in its place has another manifest file."""
    folder = Release(path)
    manifest = files.read_json(folder.manifest)
    return Published(
        id=path.name,
        folder=folder,
        card={**OLDER, **files.read_json(folder.card)},
        manifest=manifest,
        files={
            entry["path"]: ReleasedFile(entry["path"], entry["bytes"], entry["sha256"])
            for entry in manifest["files"]
        },
    )
