"""The storage of the ledger: one table to which rows can only be added.

One code path for two databases: a file of SQLite (the default: several processes of one machine)
and PostgreSQL by its URL (several hosts).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from pipeline import databases
from pipeline.ledger.append_only import protect
from pipeline.ledger.entries import Entry

_ADVICE = (
    "Is the disk full? Where the ledger itself is damaged, restore it from the backup"
    " (docs/operations.md). The same call again charges once"
)
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

# First statement of a transaction that writes: one writer at a time, from however many processes
# or hosts.
_EXCLUSIVE = {"sqlite": "BEGIN IMMEDIATE", "postgresql": f"SELECT pg_advisory_xact_lock({_LOCK})"}


class Storage:
    """Where the entries lie: a file's path, or a URL of PostgreSQL. Each call opens its own
    connection: processes, threads and forks need no care.

    The password of a URL may be left out: libpq finds it in PGPASSFILE or PGPASSWORD.

    Raises Refusal for a URL of another database.
    """

    def __init__(self, where: str | Path) -> None:
        self._url = databases.url_of(where, "the ledger")
        self.engine: Engine = databases.engine_of(self._url)

    @property
    def place(self) -> str:
        """For messages: without a password."""
        return databases.place_of(self._url)

    @property
    def file(self) -> Path | None:
        """The file of SQLite; None for PostgreSQL."""
        return Path(str(self._url.database)) if self._url.get_backend_name() == "sqlite" else None

    def exists(self) -> bool:
        """Whether there may be a table: a file that is not there is not made by reading."""
        return self.file is None or self.file.exists()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction on the table, which is made where it is missing: nobody else writes
        meanwhile; on any exception nothing of it stays. On disk when it returns.
        """
        if self.file and not self.file.exists():  # readable by its owner only
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.touch(mode=0o600)
        with self._connection() as connection:
            connection.exec_driver_sql(_EXCLUSIVE[connection.dialect.name])
            if not _has_table(connection):
                _ENTRY.create(connection)
            protect(connection)
            yield connection
            connection.commit()

    def read(self) -> list[Entry]:
        """All entries in order; none where there is no table yet."""
        if not self.exists():
            return []
        with self._connection() as connection:
            return read_entries(connection) if _has_table(connection) else []

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with databases.connection_to(self.engine, "the ledger", _ADVICE) as connection:
            yield connection


def read_entries(connection: Connection) -> list[Entry]:
    """All entries in order, as they stand in the table."""
    return [
        Entry(**row)
        for row in connection.execute(sa.select(_ENTRY).order_by(_ENTRY.c.number)).mappings()
    ]


def insert_entry(connection: Connection, entry: Entry) -> None:
    """The entry as it stands, in the transaction of the connection."""
    connection.execute(sa.insert(_ENTRY), asdict(entry))


def _has_table(connection: Connection) -> bool:
    return bool(sa.inspect(connection).has_table(_ENTRY.name))
