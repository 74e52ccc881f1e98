"""A sign-in that goes on elsewhere: what this process has to remember until the person is back.

It is kept in the database for minutes and taken once. The address carries its state, the browser
that began it a cookie: an answer that somebody else sends has not both.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from portal.shared.accounts import digest
from portal.shared.database import now
from portal.shared.tables import attempts

SECONDS = 10 * 60
MOST_OPEN = 10_000  # whoever begins more at once gets no further


@dataclass(frozen=True)
class Attempt:
    """One sign-in at an organisation."""

    organisation: str
    nonce: str  # in the token
    verifier: str  # of PKCE (RFC 7636)
    next: str


@dataclass(frozen=True)
class Tokens:
    """What goes out; the database has the hashes."""

    state: str
    browser: str


def begin(connection: Connection, organisation: str, next: str) -> tuple[Tokens, Attempt] | None:
    """A new attempt; those that ended are removed. None while too many are open."""
    connection.execute(sa.delete(attempts).where(attempts.c.expires_at <= now()))
    open_now = connection.scalars(sa.select(sa.func.count()).select_from(attempts)).one()
    if open_now >= MOST_OPEN:
        return None
    tokens = Tokens(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    attempt = Attempt(organisation, secrets.token_urlsafe(32), secrets.token_urlsafe(64), next)
    connection.execute(
        sa.insert(attempts).values(
            state=digest(tokens.state),
            browser=digest(tokens.browser),
            organisation=organisation,
            nonce=attempt.nonce,
            verifier=attempt.verifier,
            next=next,
            expires_at=now() + SECONDS,
        )
    )
    return tokens, attempt


def take(connection: Connection, organisation: str, tokens: Tokens) -> Attempt | None:
    """The attempt that these tokens belong to, which is gone from now on; None where there is
    none, or it is another browser's or organisation's, or too old.
    """
    row = connection.execute(
        sa.delete(attempts)
        .where(
            attempts.c.state == digest(tokens.state),
            attempts.c.browser == digest(tokens.browser),
            attempts.c.organisation == organisation,
            attempts.c.expires_at > now(),
        )
        .returning(attempts)
    ).one_or_none()
    if row is None:
        return None
    return Attempt(row.organisation, row.nonce, row.verifier, row.next)
