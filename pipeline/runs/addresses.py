"""Addresses of PostgreSQL databases that are sources: postgresql://[user@]host[:port]/database.

An address is written into params and the register of sources, so it holds no secret: libpq finds
the password in PGPASSFILE, a service file or PGPASSWORD. It names one server and one database and
sets no option of the session, which is ours: one read-only transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.refusal import Refusal

FORM = "postgresql://[user@]host[:port]/database"
_ALLOWED: Mapping[str, re.Pattern[str]] = {
    "user": re.compile(r"[^\0-\x1f\x7f]{1,63}"),
    "host": re.compile(r"[A-Za-z0-9._:-]{1,253}|/[^\0-\x1f\x7f,]{1,200}"),  # or a socket's folder
    "port": re.compile(r"[0-9]{1,5}"),
    "dbname": re.compile(r"[^\0-\x1f\x7f=/]{1,63}"),
    "service": re.compile(r"[\w.-]{1,63}", re.ASCII),
    "sslmode": re.compile(r"disable|allow|prefer|require|verify-ca|verify-full"),
}
_WAIT_SECONDS = 15
# the session that sees what pg_dump would see, in the forms that readers of text expect
_SESSION = (
    "SET DateStyle = 'ISO, YMD'",
    "SET TimeZone = 'UTC'",
    "SET extra_float_digits = 1",
    "SET row_security = off",  # rows that a policy hides are an error, not silently fewer rows
    "SET synchronize_seqscans = off",
)


@dataclass(frozen=True)
class Address:
    """`text`: the address in one spelling, for params and messages; it holds no password."""

    text: str
    parameters: Mapping[str, str]

    @property
    def database(self) -> str:
        """For messages."""
        return self.parameters.get("dbname") or self.parameters.get("service") or "the database"


@dataclass(frozen=True)
class Session:
    """A connection within its transaction. `zone`: the time zone that the server shows to this
    account.
    """

    connection: psycopg.Connection
    zone: str


def is_address(source: str | Path) -> bool:
    return isinstance(source, str) and "://" in source


def parsed(text: str) -> Address:
    """Raises Refusal for an address with a password, with options, of several servers, or of
    something else than PostgreSQL. What it says never quotes the address, which may hold a secret.
    """
    scheme = text.partition("://")[0]
    if scheme not in ("postgresql", "postgres"):
        raise Refusal(f"a source is a path, or an address {FORM}; {scheme[:20]!r} is not known.")
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(text).items()}
    except psycopg.Error:
        raise Refusal(f"the address of the source is not of the form {FORM}.") from None
    parts = {key: value for key, value in parts.items() if value}
    if {"password", "sslpassword", "passfile"} & set(parts):
        raise Refusal(
            "the address of a source holds no password: leave it out, and give it to libpq by"
            " PGPASSFILE, a service file or PGPASSWORD."
        )
    if other := sorted(set(parts) - set(_ALLOWED)):
        raise Refusal(
            f"the address of the source sets {', '.join(other)}: it may say"
            f" {', '.join(_ALLOWED)} only."
        )
    for key, value in parts.items():
        if not _ALLOWED[key].fullmatch(value):
            raise Refusal(
                f"the {key} in the address of the source is none: one server and one database, in"
                f" the form {FORM}."
            )
    return Address(_text(parts), parts)


def _text(parts: Mapping[str, str]) -> str:
    host, is_socket = parts.get("host", ""), parts.get("host", "").startswith("/")
    user = quote(parts["user"], safe="") + "@" if "user" in parts else ""
    server = "" if is_socket else f"[{host}]" if ":" in host else host.lower()
    port = f":{parts['port']}" if "port" in parts and server else ""
    rest = {key: parts[key] for key in ("service", "sslmode") if key in parts}
    rest |= {"host": host} if is_socket else {}
    rest |= {"port": parts["port"]} if "port" in parts and not server else {}
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(rest.items()))
    database = quote(parts.get("dbname", ""), safe="")
    return f"postgresql://{user}{server}{port}/{database}" + (f"?{query}" if query else "")


@contextmanager
def session(address: Address) -> Iterator[Session]:
    """One read-only transaction that sees the database as it was at one moment.

    Raises Refusal where the server does not answer or does not let us in.
    """
    conninfo = make_conninfo(
        "",
        **dict(address.parameters),
        connect_timeout=_WAIT_SECONDS,
        application_name="syndasera",
        client_encoding="UTF8",
    )
    try:
        connection = psycopg.connect(conninfo)
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise Refusal(f"the source {address.text} does not answer: {reason}") from None
    try:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with reading(address.database):
            [zone] = connection.execute("SHOW TimeZone").fetchone() or ("UTC",)
            for statement in _SESSION:
                connection.execute(statement)
        yield Session(connection, zone)
    finally:
        connection.close()


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Says in one line what the server refused: by its code, for its message may quote a value."""
    try:
        yield
    except psycopg.Error as error:
        code = error.sqlstate or "connection lost"
        raise Refusal(
            f"{name} cannot be read by PostgreSQL ({type(error).__name__}, {code}). May this"
            " account read all rows of the table?"
        ) from None


def identities(address: Address) -> list[str]:
    """By what the database is known: its address without user, and its own number, which it keeps
    under another name, through a tunnel, and in a replica. Raises Refusal where the server does not
    tell it.
    """
    with session(address) as one, reading(address.database):
        info = one.connection.info
        names = [f"postgresql://{info.host}:{info.port}/{info.dbname}"]
        query = (
            "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE'),"
            " (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
        )
        may_ask, number = one.connection.execute(query).fetchone() or (False, 0)
        if not may_ask:
            raise Refusal(
                f"{address.database}: this account may not ask the server for its own number, by"
                " which a database is known under any of its names. Let it: GRANT EXECUTE ON"
                " FUNCTION pg_catalog.pg_control_system() TO the account."
            )
        number_query = "SELECT system_identifier FROM pg_catalog.pg_control_system()"
        [system] = one.connection.execute(number_query).fetchone() or (0,)
        names.append(f"postgresql:{system}/{number}")
    return names
