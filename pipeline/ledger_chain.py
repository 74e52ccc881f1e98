"""The ledger's paper: entries that can only be appended, each carrying the hash of the one before it. SQLite.

The hash chain shows a changed or missing entry; a head noted elsewhere (cards and MLflow carry it) shows a cut-off end or an old copy put back.

Heads are published, and most of an entry is public or easily guessed. So each entry holds a random salt: without it whoever tries out the moment
at which training began, or the reason of a refusal, could tell by the head which one is right (privacy_rules.md 1).
"""
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

GENESIS = hashlib.sha256(b"syndasera ledger").hexdigest()  # what the first entry points back to
_WAIT_SECONDS = 120.0  # for another process's write
SALT = "salt"

_TABLES = """
CREATE TABLE IF NOT EXISTS entry (
    number INTEGER PRIMARY KEY, population TEXT NOT NULL, release_id TEXT, kind TEXT NOT NULL, at TEXT NOT NULL, by TEXT NOT NULL,
    content TEXT NOT NULL, previous TEXT NOT NULL UNIQUE, hash TEXT NOT NULL UNIQUE);
CREATE TRIGGER IF NOT EXISTS entry_is_never_changed BEFORE UPDATE ON entry
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entry_is_never_deleted BEFORE DELETE ON entry
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
_COLUMNS = "number, population, release_id, kind, at, by, content, previous, hash"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the ledger."""
    number: int              # 1, 2, 3, ...
    population: str
    release_id: str | None   # None where the entry is about the population itself
    kind: str                # opened, reserved, training, released, abandoned
    at: str                  # UTC, ISO 8601
    by: str
    content: str             # JSON object, exactly as hashed
    previous: str
    hash: str

    @property
    def facts(self) -> dict[str, Any]:
        """The content as values, without the salt."""
        value: dict[str, Any] = json.loads(self.content)
        return {name: item for name, item in value.items() if name != SALT}

    def expected_hash(self) -> str:
        """SHA-256 over every other field."""
        fields = {name: value for name, value in asdict(self).items() if name != "hash"}
        return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Writer:
    """What a transaction may do: look at the verified entries and append."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.entries = read_entries(connection)
        check_chain(self.entries)  # a broken ledger takes no more entries: it fails closed

    def append(self, *, population: str, release_id: str | None, kind: str, by: str, facts: Mapping[str, Any]) -> Entry:
        if not by.strip():
            raise ValueError(f"an entry needs a name: who writes {kind!r} for {release_id or population}?")
        content = json.dumps({**facts, SALT: new_salt()}, sort_keys=True, separators=(",", ":"), allow_nan=False)
        previous = self.entries[-1].hash if self.entries else GENESIS
        unsigned = Entry(number=len(self.entries) + 1, population=population, release_id=release_id, kind=kind,
                         at=datetime.now(UTC).isoformat(timespec="seconds"), by=by, content=content, previous=previous, hash="")
        entry = Entry(**{**asdict(unsigned), "hash": unsigned.expected_hash()})
        self._connection.execute(f"INSERT INTO entry ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", tuple(asdict(entry).values()))
        self.entries.append(entry)
        return entry


def new_salt() -> str:
    """128 random bits. They stay in the ledger, and so in the restricted zone."""
    return os.urandom(16).hex()


class Chain:
    """The file. Each call opens its own connection, so that processes, threads and forks need no care."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """One transaction: nobody else writes meanwhile; on any exception nothing of it stays. On disk when it returns."""
        self._create()
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Writer(connection)
            except BaseException:
                if connection.in_transaction:  # SQLite has undone it by itself where the disk is full
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def entries(self) -> list[Entry]:
        """All entries in order; none where the file is not there yet."""
        if not self._path.exists():
            return []
        with self._connection() as connection:
            return read_entries(connection)

    def _create(self) -> None:
        """The empty file, readable by its owner only."""
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=_WAIT_SECONDS)
        try:
            connection.execute("PRAGMA synchronous = EXTRA")  # a committed charge survives a power cut
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entry_is_never_deleted'").fetchone():
                connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
            yield connection
        except sqlite3.DatabaseError as error:
            raise ValueError(f"the ledger {self._path.name} cannot be read or written ({error}); restore it from the backup, see "
                             "docs/operations.md; nothing was charged") from error
        finally:
            connection.close()


def read_entries(connection: sqlite3.Connection) -> list[Entry]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM entry ORDER BY number")
    names = _COLUMNS.split(", ")
    return [Entry(**dict(zip(names, row, strict=True))) for row in rows]


def check_chain(entries: list[Entry]) -> None:
    """ValueError that names the first entry which is not what was written there."""
    previous = GENESIS
    for number, entry in enumerate(entries, start=1):
        if entry.number != number:
            raise ValueError(f"the ledger's chain is broken: entry {number} is missing (entry {entry.number} stands in its place)")
        if entry.previous != previous:
            raise ValueError(f"the ledger's chain is broken at entry {number}: it does not follow entry {number - 1}")
        if entry.hash != entry.expected_hash():
            raise ValueError(f"the ledger's chain is broken at entry {number} ({entry.kind} {entry.release_id or entry.population}): its content "
                             "was changed after it was written")
        previous = entry.hash


def state_in(entries: list[Entry], release_id: str) -> str | None:
    """reserved, released or abandoned; None where there is no such release."""
    return next((entry.kind for entry in reversed(entries) if entry.release_id == release_id and entry.kind != "training"), None)
