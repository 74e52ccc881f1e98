"""Locks that hold across hosts: a session of the deployment's database holds one, so it ends with
its process, however that ends. On one host there is no such database, and files are locked.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pipeline import databases
from pipeline.catalog import Home

logger = logging.getLogger(__name__)
_POLL_SECONDS = 2.0
_BACKEND = sa.select(sa.func.pg_backend_pid())


@contextmanager
def across_hosts(home: Home, name: str) -> Iterator[Callable[[], bool]]:
    """Nobody on another host is in a block of this name meanwhile: this one waits for it to end.
    Gives the block a question: whether it holds the lock still. Nothing where no database is named.

    What a block keeps must not rest on the lock alone: a host that is cut off from the database
    loses it, and finds out where it asks. What a training keeps is written under a condition for
    that (`object_store`). Raises Unavailable where the database does not answer.
    """
    where = home.deployment.database
    if where is None:
        yield lambda: True
        return
    engine = databases.engine_of(databases.url_of(where, "the locks"))
    with databases.in_our_words(engine, "the database of locks", ""):
        session = databases.opened(engine).execution_options(isolation_level="AUTOCOMMIT")
    with closing(session):
        with databases.in_our_words(engine, "the database of locks", ""):
            _take(session, name)
            taken_by = session.scalar(_BACKEND)
        yield lambda: _backend(session) == taken_by


def _take(session: Connection, name: str) -> None:
    attempt = sa.select(sa.func.pg_try_advisory_lock(_number(name)))
    if session.scalar(attempt):
        return
    logger.info("%s is going on on another host; waiting for it to end", name)
    while not session.scalar(attempt):
        time.sleep(_POLL_SECONDS)


def _backend(session: Connection) -> int | None:
    """Which process of the server serves the session; None where it is lost, and its locks with
    it.
    """
    try:
        return session.scalar(_BACKEND)
    except sa.exc.DBAPIError:
        return None


def _number(name: str) -> int:
    """The lock's key, a signed 64-bit number."""
    return int.from_bytes(
        hashlib.sha256(f"syndasera {name}".encode()).digest()[:8], "big", signed=True
    )
