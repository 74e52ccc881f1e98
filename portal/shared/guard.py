"""Who may open a route, by `Depends(require("researcher"))`; that forms come from our own pages."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from starlette.requests import Request

from portal.shared.accounts import Account
from portal.shared.sessions import current

FORM_COOKIE = "syndasera_form"
SAFE = ("GET", "HEAD", "OPTIONS")


class SignInNeeded(Exception):
    """Nobody is signed in, and the page is not for everybody."""


class Forbidden(Exception):
    """The page is not for this role, or the form did not come from our pages."""


class Guard:
    """Lets accounts of some roles pass (any role, where none is named), and gives the account."""

    def __init__(self, *roles: str) -> None:
        self.roles = roles

    def __call__(self, request: Request) -> Account:
        session = current(request)
        if session is None:
            raise SignInNeeded
        if self.roles and session.account.role not in self.roles:
            raise Forbidden("this page is not for your role")
        return session.account


def require(*roles: str) -> Guard:
    """For `Depends`: the account that is signed in, where it has one of these roles."""
    return Guard(*roles)


def visitor(request: Request) -> Account | None:
    """For `Depends`: the account that is signed in, or None."""
    session = current(request)
    return None if session is None else session.account


def form_token(request: Request) -> str:
    """The token that a form carries: the session's, or, before anybody is signed in, one that a
    cookie carries too.
    """
    if (session := current(request)) is not None:
        return session.csrf
    if not hasattr(request.state, "form_token"):
        token = request.cookies.get(FORM_COOKIE)
        request.state.form_token = token or secrets.token_urlsafe(32)
    return str(request.state.form_token)


async def refuse_foreign_forms(request: Request) -> None:
    """For `Depends`, of every route: a request that changes something comes from our own page
    (its Origin), and carries the token of the session or of the form's cookie.
    """
    if request.method in SAFE:
        return
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden("the form was sent from another site")
    token = request.headers.get("x-csrf") or await _field(request)
    session = current(request)
    right = session.csrf if session else request.cookies.get(FORM_COOKIE, "")
    if not right or not secrets.compare_digest(token.encode(), right.encode()):
        raise Forbidden("the form is out of date: open the page again and send it once more")


async def _field(request: Request) -> str:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return ""
    return str((await request.form()).get("csrf", ""))
