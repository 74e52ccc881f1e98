"""Copies files into a folder, with their checksums; a database that somebody writes meanwhile is
copied by SQLite itself. What is the same twice lies there once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

Say = Callable[[str], None]
_MAGIC = b"SQLite format 3\0"
_CHUNK = 1 << 20
_SAY_SECONDS = 5.0
_WAIT_SECONDS = 120.0  # for another process's write


@dataclass
class Copies:
    """The files of a folder that is being filled: {path in it: its facts}."""

    folder: Path
    say: Say
    total: int = 0  # bytes that are expected, for messages
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    _first: dict[str, Path] = field(default_factory=dict)  # SHA-256 -> where it lies already
    _bytes: int = 0
    _last_line: float = field(default_factory=time.monotonic)

    def add_all(self, root: Path, paths: Iterable[Path]) -> None:
        """Copies files below `root` under the same names. One that goes meanwhile is left out."""
        for path in paths:
            try:
                self.add(path, str(path.relative_to(root)))
            except FileNotFoundError:
                (self.folder / path.relative_to(root)).unlink(missing_ok=True)

    def add(self, path: Path, name: str) -> None:
        """Copies one file, or one database as it is at a moment, and notes what was copied."""
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if is_database(path):
            copy_database(path, place)
            moment = path.stat().st_mtime_ns
        else:
            moment = _copy(path, place)
        self.note(name, moment)

    def note(self, name: str, moment: int) -> None:
        """Notes a file that lies in the folder already. moment: its time, in ns since 1970."""
        place = self.folder / name
        place.chmod(0o600)
        sha256, size = file_sha256(place), place.stat().st_size
        first = self._first.setdefault(sha256, place)
        if first != place and size:
            _link_instead(first, place)
        self.entries[name] = {"sha256": sha256, "bytes": size, "time_ns": moment}
        self._tell(size)

    def _tell(self, size: int) -> None:
        self._bytes += size
        if time.monotonic() - self._last_line > _SAY_SECONDS:
            self._last_line = time.monotonic()
            self.say(
                f"  {len(self.entries)} files, {in_words(self._bytes)} of about"
                f" {in_words(self.total)}"
            )


def is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def copy_database(path: Path, place: Path) -> None:
    """SQLite's own copy: whole, whoever writes meanwhile. Raises sqlite3.Error where it cannot be
    read.
    """
    with (
        closing(sqlite3.connect(read_only(path), uri=True, timeout=_WAIT_SECONDS)) as source,
        closing(sqlite3.connect(place)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, whatever the source's mode


def read_only(path: Path) -> str:
    """The address by which SQLite opens a database and does not write."""
    return f"file:{quote(str(path.absolute()))}?mode=ro"


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_words(size: int) -> str:
    """A number of bytes for people."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _copy(path: Path, place: Path) -> int:
    with path.open("rb") as source, place.open("wb") as copy:
        shutil.copyfileobj(source, copy, _CHUNK)
        return os.fstat(source.fileno()).st_mtime_ns


def _link_instead(first: Path, place: Path) -> None:
    temporary = place.with_name(f"{place.name}.link")
    try:
        os.link(first, temporary)
    except OSError:  # a file system without links, or too many of one file
        return
    temporary.replace(place)
