"""A database of the portal: a file of SQLite or PostgreSQL by its URL, one code path.

Times are whole seconds since 1970 in UTC.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from starlette.requests import Request

from pipeline import files
from pipeline.refusal import Refusal

_WAIT_SECONDS = 30  # for another process's write
# Sent when a connection to a file opens: readers never wait for a writer, and nobody for ever.
_SQLITE = (
    "PRAGMA journal_mode = WAL",
    f"PRAGMA busy_timeout = {1000 * _WAIT_SECONDS}",
    "PRAGMA foreign_keys = ON",
)


def now() -> int:
    """The time, in whole seconds since 1970 in UTC."""
    return int(time.time())


def open_database(where: str, tables: sa.MetaData) -> Engine:
    """The database at a file's path or a PostgreSQL URL, with these tables made where they are
    missing. Raises Refusal for a URL of another kind of database.
    """
    if "://" not in where:
        path = Path(where)
        files.private_folder(path.parent)
        path.touch(mode=0o600)
        url = sa.URL.create("sqlite", database=str(path))
    else:
        url = sa.make_url(where)
        if url.get_backend_name() != "postgresql":
            raise Refusal(
                f"the portal's database is {url.get_backend_name()}: name a PostgreSQL URL, or"
                " nothing for a file of SQLite"
            )
        url = url.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, pool_pre_ping=url.get_backend_name() == "postgresql")
    if url.get_backend_name() == "sqlite":
        sa.event.listen(engine, "connect", _prepare)
    tables.create_all(engine)
    return engine


def _prepare(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    for statement in _SQLITE:
        cursor.execute(statement)
    cursor.close()


@contextmanager
def connection(request: Request) -> Iterator[Connection]:
    """A transaction on the process's own database: whole at the end of the block, or not at all."""
    engine: Engine = request.app.state.engine
    with engine.begin() as transaction:
        yield transaction


@contextmanager
def exchange(request: Request) -> Iterator[Connection]:
    """A transaction on the public database, which the custodian process opens beside its own:
    there requests and answers pass from one process to the other.
    """
    engine: Engine = request.app.state.exchange
    with engine.begin() as transaction:
        yield transaction
