"""Pages from templates (Jinja2, everything escaped)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from portal.shared.guard import FORM_COOKIE, form_token
from portal.shared.sessions import current

SHARED = Path(__file__).parent


def environment(folders: Iterable[Path]) -> jinja2.Environment:
    """Templates of these folders and of `shared`; an undefined name is an error."""
    paths = [folder / "templates" for folder in (*folders, SHARED)]
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["day"] = _day
    pages.filters["moment"] = _moment
    pages.filters["number"] = lambda value: f"{value:,}"
    return pages


def render(request: Request, template: str, status: int = 200, **context: object) -> HTMLResponse:
    """A page. Every template knows `account` (None: nobody), `csrf`, `process`, `path`, `nav`."""
    session = current(request)
    token = form_token(request)
    text = request.app.state.pages.get_template(template).render(
        account=session.account if session else None,
        csrf=token,
        process=request.app.state.process,
        path=request.url.path,
        nav=request.app.state.nav,
        **context,
    )
    response = HTMLResponse(text, status)
    if session is None and request.cookies.get(FORM_COOKIE) != token:
        response.set_cookie(
            FORM_COOKIE,
            token,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path="/",
        )
    return response


def _day(seconds: int | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%-d %B %Y}"


def _moment(seconds: int | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%-d %B %Y, %H:%M} UTC"
