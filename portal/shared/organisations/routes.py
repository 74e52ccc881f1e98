"""The way to an organisation's sign-in, and back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.catalog import Home
from pipeline.refusal import Refusal
from portal.shared import sessions
from portal.shared.actions import record
from portal.shared.database import connection
from portal.shared.organisations import attempts, entry
from portal.shared.organisations.attempts import Tokens
from portal.shared.organisations.provider import Provider
from portal.shared.organisations.settings import Organisation
from portal.shared.sign_in import inside

router = APIRouter(prefix="/sign-in/with")
Text = Annotated[str, Query(max_length=4000)]


@router.get("/{organisation}")
def leave(request: Request, organisation: str, next: Text = "/") -> Response:
    """To the organisation's page."""
    one = _find(request, organisation)
    with connection(request) as c:
        begun = attempts.begin(c, one.id, inside(next))
    if begun is None:
        raise Refusal("too many people sign in at the moment: try again in ten minutes")
    tokens, attempt = begun
    response = RedirectResponse(_provider(request, one).address(tokens, attempt), 303)
    response.set_cookie(
        _cookie(request),
        tokens.browser,
        max_age=attempts.SECONDS,
        httponly=True,
        samesite="lax",  # the way back comes from the organisation's site
        secure=request.url.scheme == "https",
        path="/sign-in/with",
    )
    return response


@router.get("/{organisation}/answer", name="answer_of_organisation")
def come_back(
    request: Request, organisation: str, state: Text = "", code: Text = "", iss: Text = ""
) -> Response:
    """From the organisation's page, with a code or without."""
    one = _find(request, organisation)
    with connection(request) as c:
        tokens = Tokens(state, request.cookies.get(_cookie(request), ""))
        attempt = attempts.take(c, one.id, tokens)
    if attempt is None or iss not in ("", one.issuer):
        raise Refusal("this sign-in is out of date: begin once more")
    if not code:
        raise Refusal(f"{one.name} did not let you in")
    person = _provider(request, one).person(code, attempt)
    try:
        with connection(request) as c:
            account = entry.account_of(c, one, person)
            token = sessions.begin(c, account)
    except Refusal:
        record(request, None, "was refused to sign in", one.id)
        raise
    record(request, account, "signed in", one.id)
    response = RedirectResponse(attempt.next, 303)
    sessions.set_cookie(request, response, token)
    response.delete_cookie(_cookie(request), path="/sign-in/with")
    return response


def _find(request: Request, organisation: str) -> Organisation:
    for one in request.app.state.organisations:
        if one.id == organisation:
            return one
    raise HTTPException(404)


def _provider(request: Request, one: Organisation) -> Provider:
    home: Home = request.app.state.home
    path = home.sign_in_secret(request.app.state.process, one.id)
    secret = path.read_text(encoding="utf-8").strip() if path.is_file() else None
    redirect = request.url_for("answer_of_organisation", organisation=one.id)
    return Provider(one, secret, str(redirect))


def _cookie(request: Request) -> str:
    return f"syndasera_{request.app.state.process}_attempt"
