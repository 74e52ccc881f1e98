"""The manifest of a release: every file with its checksum, and lineage by random ids. Nothing in it
measures restricted data.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import MANIFEST, TRANSPARENCY
from pipeline.refusal import Refusal


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_files(folder: Path) -> list[dict[str, Any]]:
    """Path, bytes and SHA-256 of every file below `folder` but the manifest, sorted by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    by_file: dict[tuple[int, int], str] = {}  # one file under two names is read once
    entries = []
    for path in paths:
        state = path.stat()
        file = (state.st_dev, state.st_ino)
        if file not in by_file:
            by_file[file] = sha256(path)
        entries.append(
            {
                "path": path.relative_to(folder).as_posix(),
                "bytes": state.st_size,
                "sha256": by_file[file],
            }
        )
    return entries


def write(folder: Path, facts: dict[str, Any]) -> None:
    """Writes `manifest.json` last: a folder with a manifest is complete."""
    files.write_json(folder / MANIFEST, {**facts, "files": describe_files(folder)})


def add_file(folder: Path, path: Path) -> None:
    """Names one file more, or as it is now: the others are as they were described."""
    facts = read(folder)
    name = path.relative_to(folder).as_posix()
    entry = {"path": name, "bytes": path.stat().st_size, "sha256": sha256(path)}
    others = [one for one in facts["files"] if one["path"] != name]
    facts["files"] = sorted([*others, entry], key=lambda one: str(one["path"]))
    files.write_json(folder / MANIFEST, facts)


def content_sha256(folder: Path) -> str:
    """Of all that the manifest says but of the transparency log, which names this sum itself."""
    facts = read(folder)
    facts["files"] = [one for one in facts["files"] if one["path"] != TRANSPARENCY]
    return files.json_sha256(facts)


def read(folder: Path) -> dict[str, Any]:
    manifest = files.read_json(folder / MANIFEST)
    if manifest is None:
        raise Refusal(
            f"{folder.name}: there is no {MANIFEST}; this is not a release, or an unfinished one"
        )
    return manifest


def differences(folder: Path) -> list[str]:
    """What does not fit the manifest: files missing, changed, or not listed. Empty for a sound
    release.
    """
    expected = {entry["path"]: entry for entry in read(folder)["files"]}
    present = {entry["path"]: entry for entry in describe_files(folder)}
    missing = [
        f"{path}: is in the manifest and not in the release"
        for path in sorted(expected.keys() - present.keys())
    ]
    extra = [
        f"{path}: is in the release and not in the manifest"
        for path in sorted(present.keys() - expected.keys())
    ]
    changed = [
        f"{path}: does not have the checksum in the manifest"
        for path in sorted(expected.keys() & present.keys())
        if expected[path]["sha256"] != present[path]["sha256"]
    ]
    return missing + extra + changed
