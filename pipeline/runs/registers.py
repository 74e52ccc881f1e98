"""The registers of a home, beside the ledger: which population a source belongs to, what was
declared, what a training kept, whose turn it is.

One code path: a file of SQLite in the home, or the deployment's PostgreSQL database for several
hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from pipeline import databases, files
from pipeline.catalog import Home

_ADVICE = "Is the disk full? Where it is damaged, restore it from the backup (docs/operations.md)"
_LOCK = 0x5D5E7B  # the advisory lock that writers of a PostgreSQL database take in turn
_EXCLUSIVE = {"sqlite": "BEGIN IMMEDIATE", "postgresql": f"SELECT pg_advisory_xact_lock({_LOCK})"}
_TABLES = sa.MetaData()
CLAIM = sa.Table(  # which population the rows at a place belong to
    "source_claim",
    _TABLES,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("population", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("provisional", sa.Boolean, nullable=False),  # nobody looked at its source yet
)
SOURCE = sa.Table(  # what custodians declared, where several hosts share it
    "declared_source",
    _TABLES,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("extract_date", sa.Date),
)
TRAINING = sa.Table(  # what the checkpoint store must hold of each training
    "training_kept",
    _TABLES,
    sa.Column("release_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("sha256", sa.Text, nullable=False),
)
TURN = sa.Table(  # which run of a population goes on; the others wait
    "population_turn",
    _TABLES,
    sa.Column("population", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, nullable=False),
)


@contextmanager
def transaction(home: Home) -> Iterator[Connection]:
    """One transaction on the registers, which are made where they are missing: nobody else writes
    meanwhile; on any exception nothing of it stays.
    """
    where = home.deployment.database
    if where is None:
        files.private_folder(home.registers.parent)
        home.registers.touch(mode=0o600)
    engine = databases.engine_of(databases.url_of(where or home.registers, "the registers"))
    with databases.connection_to(engine, "the registers", _ADVICE) as connection:
        connection.exec_driver_sql(_EXCLUSIVE[connection.dialect.name])
        _TABLES.create_all(connection)
        yield connection
        connection.commit()


def insert_new(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts the rows whose keys are not there yet."""
    if rows:
        dialect = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name]
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))


def retire(file: Path) -> None:
    """A file whose content a database holds now is renamed to `*.migrated`; another process may
    have done so.
    """
    with suppress(FileNotFoundError):
        file.rename(file.with_name(f"{file.name}.migrated"))
