"""The pages of the register of uses. Everybody reads it; a signed-in researcher writes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.params import RELEASE_ID
from pipeline.refusal import Refusal
from portal.public.releases import published
from portal.public.uses import register
from portal.shared.accounts import Account
from portal.shared.actions import record
from portal.shared.database import connection
from portal.shared.guard import require
from portal.shared.pages import render

router = APIRouter()
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Researcher = Annotated[Account, Depends(require("researcher"))]


@router.get("/uses")
def show_uses(request: Request, release: str = "") -> Response:
    return _page(request, release)


@router.post("/uses")
def enter_use(
    request: Request,
    account: Researcher,
    release: Annotated[str, Form(max_length=100)],
    purpose: Annotated[str, Form(max_length=4000)],
    named: Annotated[str, Form(max_length=5)] = "",
) -> Response:
    published.find(request.app.state.home, release)
    try:
        with connection(request) as c:
            register.enter(c, account, release_id=release, purpose=purpose, is_named=named == "yes")
    except Refusal as error:
        return _page(request, release, 400, purpose=purpose, named=named, error=str(error))
    record(request, account, "noted a use", release)
    return RedirectResponse(f"/uses?release={release}", 303)


@router.post("/uses/{number}/remove")
def remove_use(request: Request, account: Researcher, number: Number) -> Response:
    with connection(request) as c:
        release = register.remove(c, account, number)
    record(request, account, "removed a use", release)
    return RedirectResponse("/uses", 303)


def _page(
    request: Request,
    release: str,
    status: int = 200,
    *,
    purpose: str = "",
    named: str = "",
    error: str = "",
) -> Response:
    """The register, of one release where `release` is an id."""
    chosen = release if RELEASE_ID.fullmatch(release) else None
    with connection(request) as c:
        uses = register.uses_of(c, chosen)
    return render(
        request,
        "uses.html",
        status,
        uses=uses,
        chosen=chosen,
        releases=published.every(request.app.state.home),
        purpose=purpose[: register.LONGEST],
        named=named,
        error=error,
        limits=register,
    )
