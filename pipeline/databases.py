"""Databases of two kinds by one code path: a file of SQLite (several processes of one host) and
PostgreSQL by its URL (several hosts).

The password of a URL may be left out: libpq finds it in PGPASSFILE or a service file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.pool import NullPool

from pipeline.refusal import Refusal, Unavailable

WAIT_SECONDS = 120  # for another process's write
# Sent when a connection opens: what is committed survives a power cut, nobody waits for ever, and a
# server finds out within minutes that a host is gone.
_SESSION = {
    "sqlite": ("PRAGMA synchronous = EXTRA", f"PRAGMA busy_timeout = {1000 * WAIT_SECONDS}"),
    "postgresql": (
        "SET synchronous_commit = on",
        f"SET lock_timeout = '{WAIT_SECONDS}s'",
        "SET default_transaction_isolation = 'read committed'",
        "SET tcp_keepalives_idle = 60",
        "SET tcp_keepalives_interval = 20",
        "SET tcp_keepalives_count = 5",
    ),
}
# SQLSTATE of what passes: the connection is lost, the server has no room or goes down or comes up,
# somebody else was faster (serialization, deadlock, a lock that was waited for)
_PASSING = ("08", "40", "53", "55P03", "57P")
_PASSING_WORDS = ("database is locked", "database is busy", "database table is locked")
# a connection that is refused for good has no SQLSTATE, only the server's words
_FOR_GOOD = ("authentication failed", "no password supplied", "does not exist", "permission denied")


def url_of(where: str | Path, what: str) -> sa.URL:
    """The URL of a file's path, or of PostgreSQL. Raises Refusal for another database; `what`: for
    the message.
    """
    if "://" not in str(where):
        return sa.URL.create("sqlite", database=str(where))
    try:
        url = make_url(str(where))
    except (sa.exc.ArgumentError, ValueError):
        raise Refusal(
            f"{what}'s URL cannot be read; write postgresql://USER@HOST:PORT/DATABASE"
        ) from None
    if url.get_backend_name() != "postgresql":
        raise Refusal(
            f"{what} is a file or a PostgreSQL database, not {url.get_backend_name()}; write"
            " postgresql://USER@HOST:PORT/DATABASE"
        )
    if "password" in url.query:
        raise Refusal(
            f"{what}'s URL holds a password among its options, where messages would show it:"
            " leave it to PGPASSFILE or PGPASSWORD"
        )
    return url.set(drivername="postgresql+psycopg")


def engine_of(url: sa.URL) -> Engine:
    """An engine whose every use opens its own connection: processes, threads and forks need no
    care.
    """
    return sa.create_engine(url, poolclass=NullPool)


def place_of(url: sa.URL) -> str:
    """For messages: without a user or a password."""
    if url.get_backend_name() == "sqlite":
        return Path(str(url.database)).name
    return url.set(drivername="postgresql", username=None, password=None).render_as_string()


@contextmanager
def connection_to(engine: Engine, what: str, advice: str) -> Iterator[Connection]:
    """A connection with our settings; errors are told as of `in_our_words`."""
    with in_our_words(engine, what, advice), opened(engine) as connection:
        yield connection


def opened(engine: Engine) -> Connection:
    """A connection with our settings, outside a transaction."""
    connection = engine.connect()
    try:
        for statement in _SESSION[connection.dialect.name]:
            connection.exec_driver_sql(statement)
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def in_our_words(engine: Engine, what: str, advice: str) -> Iterator[None]:
    """A database's error in the block becomes Unavailable where it passes, and a Refusal with
    `advice` otherwise.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        place = f"{what} {place_of(engine.url)}"
        if is_passing(error):
            raise Unavailable(
                f"{place} does not answer, or is busy ({reason}). Is the server down? Once more may"
                " succeed"
            ) from error
        raise Refusal(f"{place} cannot be read or written ({reason}). {advice}") from error


def is_passing(error: sa.exc.DBAPIError) -> bool:
    """Whether the same call may succeed later: no answer, a lost connection, a lost race."""
    state, words = getattr(error.orig, "sqlstate", None), str(error.orig).lower()
    if state:
        return str(state).startswith(_PASSING)
    if type(error.orig).__module__.startswith("sqlite3"):
        return any(word in words for word in _PASSING_WORDS)
    is_operational = isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
    return is_operational and not any(word in words for word in _FOR_GOOD)
