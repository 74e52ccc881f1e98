"""The ledger's paper: entries that can only be appended, each carrying the hash of the one before
it.

One code path for two databases: a file of SQLite (the default: several processes of one machine)
and PostgreSQL by its URL (several hosts). The hash chain shows a changed or missing entry; a head
noted elsewhere (cards and MLflow carry it) shows a cut-off end or an old copy put back. Heads are
published, and most of an entry is public or easily guessed. So each entry holds a random salt:
without it whoever tries out the moment at which training began, or the reason of a refusal, could
tell by the head which one is right (privacy_rules.md 1).
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.pool import NullPool

from pipeline.refusal import Refusal

GENESIS = hashlib.sha256(b"syndasera ledger").hexdigest()  # what the first entry points back to
MOVED = "moved"
SALT = "salt"
_WAIT_SECONDS = 120  # for another process's write
_LOCK = 0x5D5E7A  # the advisory lock that writers of a PostgreSQL ledger take in turn

_ENTRY = sa.Table(
    "entry",
    sa.MetaData(),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("population", sa.Text, nullable=False),
    sa.Column("release_id", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("previous", sa.Text, nullable=False, unique=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
)

# Said when a connection opens: a committed charge survives a power cut, and nobody waits for ever.
_SESSION = {
    "sqlite": ("PRAGMA synchronous = EXTRA", f"PRAGMA busy_timeout = {1000 * _WAIT_SECONDS}"),
    "postgresql": (
        "SET synchronous_commit = on",
        f"SET lock_timeout = '{_WAIT_SECONDS}s'",
        "SET default_transaction_isolation = 'read committed'",
    ),
}
# First statement of a transaction that writes: one writer at a time, from however many processes or
# hosts.
_EXCLUSIVE = {"sqlite": "BEGIN IMMEDIATE", "postgresql": f"SELECT pg_advisory_xact_lock({_LOCK})"}
_APPEND_ONLY = {
    "sqlite": (
        (
            "CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT,"
            " 'the ledger is append-only'); END"
        ),
        (
            "CREATE TRIGGER entry_is_never_deleted BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT,"
            " 'the ledger is append-only'); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION entry_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
        ),
        (
            "CREATE TRIGGER entry_is_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON entry "
            "FOR EACH STATEMENT EXECUTE FUNCTION entry_is_append_only()"
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the ledger."""

    number: int  # 1, 2, 3, ...
    population: str
    release_id: str | None  # None where the entry is about the population itself
    # opened, raised, reserved, training, released, abandoned; moved closes a ledger that lies
    # elsewhere now
    kind: str
    at: str  # UTC, ISO 8601
    by: str
    content: str  # JSON object, exactly as hashed
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
        return hashlib.sha256(
            json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()


class Writer:
    """What a transaction may do: look at the verified entries and append."""

    def __init__(self, connection: Connection, entries: list[Entry]) -> None:
        self._connection = connection
        self.entries = entries

    def append(
        self,
        *,
        population: str,
        release_id: str | None,
        kind: str,
        by: str,
        facts: Mapping[str, Any],
    ) -> Entry:
        if not by.strip():
            raise Refusal(
                f"an entry needs a name: who writes {kind!r} for {release_id or population}?"
            )
        content = json.dumps(
            {**facts, SALT: new_salt()}, sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        previous = self.entries[-1].hash if self.entries else GENESIS
        unsigned = Entry(
            number=len(self.entries) + 1,
            population=population,
            release_id=release_id,
            kind=kind,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            by=by,
            content=content,
            previous=previous,
            hash="",
        )
        entry = Entry(**{**asdict(unsigned), "hash": unsigned.expected_hash()})
        self.put(entry)
        return entry

    def put(self, entry: Entry) -> None:
        """The entry as it stands."""
        self._connection.execute(sa.insert(_ENTRY), asdict(entry))
        self.entries.append(entry)


class Chain:
    """Where the entries are: a file's path, or a URL of PostgreSQL. Each call opens its own
    connection: processes, threads and forks need no care.

    The password of a URL may be left out: libpq finds it in PGPASSFILE or PGPASSWORD.

    Raises ValueError for a URL of another database.
    """

    def __init__(self, where: str | Path) -> None:
        self._url = _url(where)
        self._engine: Engine = sa.create_engine(self._url, poolclass=NullPool)

    @property
    def place(self) -> str:
        """For messages: without a password."""
        return (
            Path(str(self._url.database)).name
            if self._file
            else self._url.set(
                drivername="postgresql", username=None, password=None
            ).render_as_string()
        )

    @contextmanager
    def writing(self, *, moving: bool = False) -> Iterator[Writer]:
        """One transaction: nobody else writes meanwhile; on any exception nothing of it stays. On
        disk when it returns.

        Raises ValueError for a broken chain, and for a ledger that was moved, unless `moving`.
        """
        if self._file and not self._file.exists():  # readable by its owner only
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.touch(mode=0o600)
        with self._connection() as connection:
            connection.exec_driver_sql(_EXCLUSIVE[connection.dialect.name])
            if not _has_entries(connection):
                _ENTRY.create(connection)
                for statement in _APPEND_ONLY[connection.dialect.name]:
                    connection.exec_driver_sql(statement)
            entries = _read(connection)
            check_chain(entries)  # a broken ledger takes no more entries: it fails closed
            if not moving:
                _refuse_moved(entries)
            yield Writer(connection, entries)
            connection.commit()

    def entries(self) -> list[Entry]:
        """All entries in order; none where there is no ledger yet."""
        if self._file and not self._file.exists():
            return []
        with self._connection() as connection:
            entries = _read(connection) if _has_entries(connection) else []
        _refuse_moved(entries)
        return entries

    def move_to(self, other: "Chain", by: str) -> None:
        """Every entry into an empty chain elsewhere. First an entry `moved` closes this one for
        good; so a move that was cut off leaves nobody two ledgers, and the same move again goes on
        where it stopped.

        Raises ValueError where the other chain holds other entries, or this one was moved
        elsewhere.
        """
        with self.writing(moving=True) as old:
            closed = bool(old.entries) and old.entries[-1].kind == MOVED
            if closed and old.entries[-1].facts["to"] != other.place:
                raise Refusal(
                    f"this ledger was moved to {old.entries[-1].facts['to']}: it cannot move to"
                    f" {other.place} as well"
                )
            ours = old.entries[:-1] if closed else list(old.entries)
            held = other.entries()
            if held[: len(ours)] != ours[: len(held)] or (len(held) > len(ours) and not closed):
                raise Refusal(
                    f"{other.place} holds other entries than {self.place}: name an empty database."
                    " Nothing was moved"
                )
            if not closed:
                old.append(
                    population="", release_id=None, kind=MOVED, by=by, facts={"to": other.place}
                )
        with other.writing() as new:
            if new.entries[: len(ours)] != ours[: len(new.entries)]:
                raise Refusal(
                    f"{other.place} was written to while {self.place} was moved there: empty it,"
                    " and move again"
                )
            for entry in ours[len(new.entries) :]:
                new.put(entry)

    @property
    def _file(self) -> Path | None:
        return Path(str(self._url.database)) if self._url.get_backend_name() == "sqlite" else None

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                for statement in _SESSION[connection.dialect.name]:
                    connection.exec_driver_sql(statement)
                connection.commit()
                yield connection
        except sa.exc.DBAPIError as error:
            said = " ".join(str(error.orig).split())
            raise Refusal(
                f"the ledger {self.place} cannot be read or written ({said}). Is the disk full, or"
                " the server down? Where the ledger itself is damaged, restore it from the backup"
                " (docs/operations.md). The same call again charges once"
            ) from error


def new_salt() -> str:
    """128 random bits. They stay in the ledger, and so in the restricted zone."""
    return os.urandom(16).hex()


def _url(where: str | Path) -> sa.URL:
    if "://" not in str(where):
        return sa.URL.create("sqlite", database=str(where))
    try:
        url = make_url(str(where))
    except (sa.exc.ArgumentError, ValueError):
        raise Refusal(
            "the ledger's URL cannot be read; write postgresql://USER@HOST:PORT/DATABASE"
        ) from None
    if url.get_backend_name() != "postgresql":
        raise Refusal(
            f"the ledger is a file or a PostgreSQL database, not {url.get_backend_name()}; write"
            " postgresql://USER@HOST:PORT/DATABASE"
        )
    if "password" in url.query:
        raise Refusal(
            "the ledger's URL holds a password among its options, where messages would show it:"
            " leave it to PGPASSFILE or PGPASSWORD"
        )
    return url.set(drivername="postgresql+psycopg")


def _has_entries(connection: Connection) -> bool:
    return bool(sa.inspect(connection).has_table(_ENTRY.name))


def _refuse_moved(entries: list[Entry]) -> None:
    if entries and entries[-1].kind == MOVED:
        raise Refusal(
            f"this ledger was moved to {entries[-1].facts['to']} and is closed: use that one"
            " (state/ledger.url, or SYNDASERA_LEDGER)"
        )


def _read(connection: Connection) -> list[Entry]:
    return [
        Entry(**row)
        for row in connection.execute(sa.select(_ENTRY).order_by(_ENTRY.c.number)).mappings()
    ]


def check_chain(entries: list[Entry]) -> None:
    """ValueError that names the first entry which is not what was written there."""
    previous = GENESIS
    for number, entry in enumerate(entries, start=1):
        if entry.number != number:
            raise Refusal(
                f"the ledger's chain is broken: entry {number} is missing (entry {entry.number}"
                " stands in its place)"
            )
        if entry.previous != previous:
            raise Refusal(
                f"the ledger's chain is broken at entry {number}: it does not follow entry"
                f" {number - 1}"
            )
        if entry.hash != entry.expected_hash():
            raise Refusal(
                f"the ledger's chain is broken at entry {number} ({entry.kind}"
                f" {entry.release_id or entry.population}): its content was changed after it was"
                " written"
            )
        previous = entry.hash


def state_in(entries: list[Entry], release_id: str) -> str | None:
    """reserved, released or abandoned; None where there is no such release."""
    return next(
        (
            entry.kind
            for entry in reversed(entries)
            if entry.release_id == release_id and entry.kind != "training"
        ),
        None,
    )
