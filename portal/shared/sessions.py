"""Sessions: a random token in a cookie that scripts cannot read, its hash in the database."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from portal.shared.accounts import Account, as_account, digest
from portal.shared.database import connection, now
from portal.shared.tables import accounts, sessions

IDLE_SECONDS = 2 * 3600
LONGEST_SECONDS = 12 * 3600
SEEN_EVERY = 60  # seconds between two notes that a session is in use: not a write per page


@dataclass(frozen=True)
class Session:
    """Who is signed in with the request's cookie, and the token that forms carry."""

    account: Account
    csrf: str


def cookie_name(request: Request) -> str:
    """Each process has its own: cookies do not tell ports apart."""
    return f"syndasera_{request.app.state.process}"


def begin(connection: Connection, account: Account) -> str:
    """A new session's token, for the cookie. Sessions that ended are removed."""
    connection.execute(sa.delete(sessions).where(~_is_live()))
    token = secrets.token_urlsafe(32)
    connection.execute(
        sa.insert(sessions).values(
            token=digest(token),
            account=account.id,
            csrf=secrets.token_urlsafe(32),
            created_at=now(),
            seen_at=now(),
        )
    )
    return token


def set_cookie(request: Request, response: Response, token: str) -> None:
    response.set_cookie(
        cookie_name(request),
        token,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path="/",
    )


def end(request: Request, response: Response) -> None:
    """Ends the request's session: its row and its cookie go."""
    with connection(request) as c:
        c.execute(sa.delete(sessions).where(sessions.c.token == _token(request)))
    response.delete_cookie(cookie_name(request), path="/")


def current(request: Request) -> Session | None:
    """The session of the request's cookie; None where there is none, or it ended. Asked once per
    request.
    """
    if not hasattr(request.state, "session"):
        request.state.session = _find(request)
    session: Session | None = request.state.session
    return session


def _find(request: Request) -> Session | None:
    if cookie_name(request) not in request.cookies:
        return None
    with connection(request) as c:
        row = c.execute(
            sa.select(accounts, sessions.c.csrf, sessions.c.seen_at)
            .join(sessions, sessions.c.account == accounts.c.id)
            .where(sessions.c.token == _token(request), ~accounts.c.disabled, _is_live())
        ).one_or_none()
        if row is None:
            return None
        if now() - row.seen_at > SEEN_EVERY:
            c.execute(
                sa.update(sessions).where(sessions.c.token == _token(request)).values(seen_at=now())
            )
    return Session(as_account(row), row.csrf)


def _is_live() -> sa.ColumnElement[bool]:
    return sa.and_(
        sessions.c.seen_at > now() - IDLE_SECONDS, sessions.c.created_at > now() - LONGEST_SECONDS
    )


def _token(request: Request) -> str:
    return digest(request.cookies.get(cookie_name(request), ""))
