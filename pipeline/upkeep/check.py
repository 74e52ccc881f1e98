"""Checks a backup: that it is whole, and that its parts belong together. Needs no home and writes
nothing but scratch.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import files, params
from pipeline.catalog import Deployment, Home
from pipeline.catalog.version import VERSION
from pipeline.ledger import Ledger, check_key
from pipeline.refusal import Refusal
from pipeline.restricted.ingest.holdout import KEY_NAME
from pipeline.restricted.ingest.key_check import fingerprint
from pipeline.runs import chain_heads, version_stores
from pipeline.upkeep import heads, parts
from pipeline.upkeep.copies import file_sha256, read_only

_OBJECT = re.compile(r"md5: ([0-9a-f]{2})([0-9a-f]{30}(?:\.dir)?)")


class _HomeInBackup(Home):
    """A home in a backup: everything lies in it, whatever this host's deployment says."""

    @property
    def deployment(self) -> Deployment:
        return Deployment()


@dataclass(frozen=True)
class Backup:
    """A backup and what backup.json says of it."""

    folder: Path
    contents: Mapping[str, Any]

    @property
    def home(self) -> Home:
        """Its files, by the names that they have in a home."""
        return _HomeInBackup(self.folder)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / self.contents["ledger"]["file"])

    @property
    def files(self) -> Mapping[str, Mapping[str, Any]]:
        entries: Mapping[str, Mapping[str, Any]] = self.contents["files"]
        return entries

    def bundle(self, zone: str) -> Path | None:
        """The file with git's part of a version store; None where there was none."""
        name = parts.BUNDLES[zone]
        return self.folder / name if name in self.files else None


def read(folder: Path) -> Backup:
    """Raises Refusal for what is no backup of ours, for one that was broken off, and for one that a
    newer version of the code made.
    """
    contents = files.read_json(folder / parts.CONTENTS)
    if contents is None:
        raise Refusal(
            f"{folder} holds no {parts.CONTENTS}: it is no backup, or one that was broken off"
            " before its end. It is of no use; make another one"
        )
    if contents["format"] > parts.FORMAT or contents["state_version"] > VERSION:
        raise Refusal(
            f"{folder} was written by a newer Syndasera (version {contents['state_version']} of the"
            f" state; this one reads up to {VERSION}): use that version of the code"
        )
    for name in (*contents["files"], *contents["empty_folders"]):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise Refusal(f"{folder} names a file outside of it: it is no backup of ours")
    for name in contents["open_runs"]:
        params.check_release_id(name, f"{folder} is no backup of ours, the run")
    return Backup(folder, contents)


Question = Callable[[Backup], Iterator[str]]  # gives the faults


def faults(backup: Backup) -> Iterator[tuple[str, str]]:
    """(question, what is wrong) in order; what is wrong is empty where nothing is. None hides
    another.
    """
    for question, ask in QUESTIONS.items():
        try:
            yield question, "; ".join(ask(backup))
        except (Refusal, RuntimeError, OSError, sqlite3.Error) as error:
            yield question, str(error)


def _files(backup: Backup) -> Iterator[str]:
    for name, facts in backup.files.items():
        path = backup.folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif file_sha256(path) != facts["sha256"]:
            yield f"{name} was changed"
    present = {str(one.relative_to(backup.folder)) for one in backup.folder.rglob("*")}
    places = {name for name in present if not (backup.folder / name).is_dir()}
    for name in sorted(places - {parts.CONTENTS, *backup.files}):
        yield f"{name} is none of its files"


def _modes(backup: Backup) -> Iterator[str]:
    if backup.folder.stat().st_mode & 0o077:
        yield f"others than its owner get into {backup.folder}: chmod -R go= {backup.folder}"


def _ledger(backup: Backup) -> Iterator[str]:
    entries = backup.ledger.entries()
    head = entries[-1].hash if entries else None
    if (len(entries), head) != (
        backup.contents["ledger"]["entries"],
        backup.contents["ledger"]["chain_head"],
    ):
        yield "it has another end than backup.json says"
    notes = chain_heads.notes(backup.home)
    reservations = backup.home.runs.glob("*/restricted/reservation.json")
    notes |= {f"the run {path.parts[-3]}": files.read_json(path)["head"] for path in reservations}
    backup.ledger.verify(notes)


def _cards(backup: Backup) -> Iterator[str]:
    if unknown := heads.unknown_to(backup.ledger, released_cards(backup)):
        yield heads.lost(unknown)


def released_cards(backup: Backup) -> list[heads.CardFacts]:
    """Of every tag and every extract in the backup."""
    with _released_store(backup) as store:
        cards = heads.cards_in(store) if store is not None else []
    return cards + heads.cards_in(backup.home.released)


def _needs(backup: Backup) -> Iterator[str]:
    """What the ledger says that there must be: the permanent key, the registers of cohorts."""
    path, keys = backup.home.keys / KEY_NAME, backup.ledger.keys()
    here = fingerprint(path.read_bytes()) if path.is_file() else None
    for name, first in keys.items():
        check_key(name, first, here)
    for population in backup.ledger.populations():
        marks = backup.ledger.marks(population.name)
        if marks and marks[-1] not in _marks_in(backup.home.cohorts(population.name)):
            yield f"the register of cohorts of {population.name} is older than the ledger"


def _marks_in(register: Path) -> set[str]:
    if not register.is_file():
        return set()
    with closing(sqlite3.connect(read_only(register), uri=True)) as connection:
        return {mark for (mark,) in connection.execute("SELECT mark FROM mark")}


def _objects(backup: Backup) -> Iterator[str]:
    """What the tags of the released version store lead to."""
    with _released_store(backup) as store:
        if store is None:
            return
        for tag in version_stores.tags(store):
            text = version_stores.git("grep", "-h", "md5:", tag, "--", "*.dvc", cwd=store)
            for first, rest in _OBJECT.findall(text):
                place = backup.home.released_remote / "files" / "md5" / first / rest
                if not place.is_file():
                    yield f"{tag} lacks the object {first}{rest}"


@contextmanager
def _released_store(backup: Backup) -> Iterator[Path | None]:
    """The released version store of the backup in scratch; None where there was none."""
    bundle = backup.bundle("released")
    if bundle is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="backup-") as scratch:
        store = Path(scratch) / "store"
        version_stores.unbundle(bundle, store)
        yield store


_PRIVATE = "nobody but its owner reads it"
WARNINGS = (_PRIVATE,)  # a backup is sound all the same
QUESTIONS: dict[str, Question] = {
    "every file is there, with the checksum in backup.json": _files,
    _PRIVATE: _modes,
    "the ledger's chain is whole, and holds the heads that runs noted": _ledger,
    "the ledger holds the charge and the head on every card and tag": _cards,
    "the permanent key and the registers of cohorts are those of the ledger": _needs,
    "every object that a tag of the released version store leads to is there": _objects,
}
