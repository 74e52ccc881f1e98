"""Makes a backup of everything in a home that cannot be made again, while runs go on.

A folder, whole or not at all: `backup.json`, with the checksum of every file, is written last, and
only then does the folder get its name. It is restricted, as what it holds is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import Home, project_root
from pipeline.catalog.version import VERSION
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs import programs, version_stores
from pipeline.runs.uploads import deletion
from pipeline.upkeep import parts, portal_dump, scratch
from pipeline.upkeep.copies import Copies, Say, in_words

_ROOM = 1.05  # of the bytes that are expected, for what is written meanwhile
_ATTEMPTS = 3  # where a release is published meanwhile


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a person may ask of a backup. `mlflow`: with the mirror in MLflow. `portal`: with the
    portal's databases where they are PostgreSQL, by pg_dump.
    """

    mlflow: bool = False
    portal: bool = True


def make(home: Home, folder: Path, by: str, wishes: Wishes, say: Say) -> dict[str, Any]:
    """Writes the backup into `folder`, which must not exist or be empty. Returns what backup.json
    says of it. Where a release is published meanwhile, it begins again.

    Raises Refusal where there is no state, or only a part of it lies here, where the folder lies in
    the home's own folders or holds something, where the disk has no room, and where releases are
    published time and again meanwhile.
    """
    parts.refuse_shared(home)
    _refuse_place(home, folder)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with alone(home), files.replacing_folder(folder.absolute(), foreign=files.everything) as place:
        place.chmod(0o700)
        for left in scratch.left(home.root, time.time()):
            say(f"Removing {left.name}, a plain copy that a broken-off backup left")
            deletion.remove(left)
        begin, copies = _copies(home, place, wishes, say)
        contents = _contents(home, copies, by, wishes, begin)
        os.sync()
        files.write_json(place / parts.CONTENTS, contents)
        for path in (place, *place.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
    files.sync_folder(folder.absolute().parent)
    return contents


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Nobody removes what a backup copies, and no two do either at once. Raises Refusal where
    another one is at it.
    """
    files.private_folder(home.state / "restricted")
    with (home.state / "restricted" / "upkeep.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refusal(
                "another backup, or `python -m pipeline tidy`, is at work here: try again when it"
                " has ended"
            ) from None
        yield


def _refuse_place(home: Home, folder: Path) -> None:
    if not home.state.is_dir():
        raise Refusal(f"there is no state in {home.root}: nothing to back up (SYNDASERA_HOME)")
    place = folder.absolute().resolve()
    for own in (home.state, home.runs, home.mlruns):
        if place.is_relative_to(own.resolve()):
            raise Refusal(f"{folder} lies in {own.name}/, which it is to save: name another folder")


def _copies(home: Home, place: Path, wishes: Wishes, say: Say) -> tuple[str, Copies]:
    """Everything, in `place`, and the moment at which the copying of it began: what is published or
    refused after that is not in it for sure. Raises Refusal where the ledger holds releases time
    and again that the copy of the released version store lacks: put back, the transparency log
    would be older than the ledger, and nothing could be published any more.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        begin, copies = datetime.now(UTC).isoformat(timespec="seconds"), Copies(place, say)
        releases = _copy_stores(home, copies)
        _copy_before_ledger(home, copies, releases, wishes)
        _copy_ledger(home, copies)
        missing = _released(_ledger_file(home, copies)) - releases
        meanwhile = missing & set(version_stores.tags(home.released_store))
        if not meanwhile:
            if missing:  # no further attempt brings it, and the rest must be saved all the more
                say(f"{_names(missing)}: published, and not in the released version store")
            copies.add_all(home.root, parts.after_ledger(home))
            return begin, copies
        say(
            f"{_names(meanwhile)}: published while this backup was made, so nothing of attempt"
            f" {attempt} of {_ATTEMPTS} is kept"
        )
        _empty(place)
    raise Refusal(
        f"a release was published during each of {_ATTEMPTS} attempts ({_names(meanwhile)} during"
        " the last one), so ledger and released version store do not belong together. Nothing was"
        " written: make the backup again when nothing is being published"
    )


def _copy_before_ledger(home: Home, copies: Copies, releases: set[str], wishes: Wishes) -> None:
    paths = list(parts.before_ledger(home, releases))
    if wishes.mlflow:
        paths += parts.mlflow_files(home)
    copies.total = _room(paths, copies.folder)
    copies.say(f"Copying about {in_words(copies.total)}")
    copies.add_all(home.root, paths)
    if wishes.portal:
        portal_dump.add(home, copies)


def _released(ledger: Path) -> set[str]:
    """The releases that were published by a ledger."""
    entries = Ledger(ledger).entries()
    return {str(entry.release_id) for entry in entries if entry.kind == "released"}


def _names(releases: set[str]) -> str:
    return ", ".join(sorted(releases))


def _empty(place: Path) -> None:
    for path in place.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _room(paths: list[Path], place: Path) -> int:
    """The bytes that are expected. Raises Refusal where the disk has no room for them."""
    total = sum(path.stat().st_size for path in paths if path.is_file())
    free = shutil.disk_usage(place).free
    if free < total * _ROOM:
        raise Refusal(
            f"the disk of the backup has {in_words(free)} free, and it needs {in_words(total)}:"
            " nothing was written"
        )
    return total


def _copy_stores(home: Home, copies: Copies) -> set[str]:
    """Both version stores, git's part; the releases whose tags are in the copy."""
    releases: set[str] = set()
    for zone, name in parts.BUNDLES.items():
        store = parts.store_of(home, zone)
        if store.is_dir():
            releases |= set(version_stores.tags(store)) if zone == "released" else set()
            version_stores.bundle(store, copies.folder / name)
            copies.note(name, time.time_ns())
    return releases


def _copy_ledger(home: Home, copies: Copies) -> None:
    """The file by SQLite's own copy; a ledger elsewhere entry by entry, as they were written, which
    needs no program of that database and can be checked as the file can.
    """
    if home.ledger_file.is_file():
        copies.add_all(home.root, [home.ledger_file])
    if home.ledger != str(home.ledger_file):
        Ledger(home.ledger).copy_to(Ledger(copies.folder / parts.ELSEWHERE))
        copies.note(parts.ELSEWHERE, time.time_ns())


def _ledger_file(home: Home, copies: Copies) -> Path:
    """Where the copy of the ledger lies."""
    if home.ledger == str(home.ledger_file):
        return copies.folder / home.ledger_file.relative_to(home.root)
    return copies.folder / parts.ELSEWHERE


def _contents(home: Home, copies: Copies, by: str, wishes: Wishes, begin: str) -> dict[str, Any]:
    file = _ledger_file(home, copies)
    entries = Ledger(file).entries()
    return {
        "format": parts.FORMAT,
        "state_version": VERSION,
        "made": begin,
        "by": by,
        "home": str(home.root.resolve()),
        "code_version": programs.code_version(project_root()),
        "ledger": {
            "file": str(file.relative_to(copies.folder)),
            "entries": len(entries),
            "chain_head": entries[-1].hash if entries else None,
        },
        "mlflow": wishes.mlflow,
        "open_runs": sorted({name.split("/")[1] for name in copies.entries if "runs/" in name[:5]}),
        "left_out": [list(pair) for pair in parts.LEFT_OUT],
        "empty_folders": list(parts.empty_folders(home)),
        "files": copies.entries,
    }
