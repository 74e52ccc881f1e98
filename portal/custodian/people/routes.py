"""The page of people: who has an account, who is invited."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Path
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.refusal import Refusal
from portal.custodian.people import changes, invitations
from portal.shared.accounts import ROLES, Account
from portal.shared.actions import record
from portal.shared.database import connection, exchange
from portal.shared.guard import require
from portal.shared.pages import render

router = APIRouter(prefix="/people")
Administrator = Annotated[Account, Depends(require("administrator"))]
Process = Literal["public", "custodian"]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
DATABASES = {"public": exchange, "custodian": connection}
CHANGES = {
    "close": (changes.close, "closed an account"),
    "reopen": (changes.reopen, "opened an account again"),
    "unlock": (changes.unlock, "unlocked an account"),
}


@router.get("")
def show_people(request: Request, account: Administrator) -> Response:
    return _page(request)


@router.post("")
def invite(
    request: Request,
    account: Administrator,
    email: Annotated[str, Form(max_length=400)],
    role: Annotated[str, Form(max_length=20)],
) -> Response:
    """The only answer that holds the link."""
    try:
        process = "public" if invitations.is_public(role) else "custodian"
        with DATABASES[process](request) as c:
            link = invitations.invite(c, email, role, account.email)
    except Refusal as error:
        return _page(request, 400, error=str(error), email=email[:254], role=role)
    record(request, account, "invited", f"{role} {email.strip().lower()}")
    return _page(request, link=link, email=email.strip().lower(), role=role)


@router.post("/{process}/withdraw")
def withdraw(
    request: Request,
    account: Administrator,
    process: Process,
    email: Annotated[str, Form(max_length=400)],
) -> Response:
    with DATABASES[process](request) as c:
        invitations.withdraw(c, email)
    record(request, account, "withdrew an invitation", email)
    return RedirectResponse("/people", 303)


@router.post("/{process}/{number}/{change}")
def change_account(
    request: Request,
    account: Administrator,
    process: Process,
    number: Number,
    change: Literal["close", "reopen", "unlock"],
) -> Response:
    function, words = CHANGES[change]
    with DATABASES[process](request) as c:
        email = function(c, number)
    record(request, account, words, email)
    return RedirectResponse("/people", 303)


def _page(
    request: Request,
    status: int = 200,
    *,
    link: str = "",
    email: str = "",
    role: str = "researcher",
    error: str = "",
) -> Response:
    people, waiting = {}, {}
    for process, open_connection in DATABASES.items():
        with open_connection(request) as c:
            people[process] = changes.everybody(c)
            waiting[process] = invitations.waiting(c)
    return render(
        request,
        "people.html",
        status,
        people=people,
        waiting=waiting,
        roles=ROLES,
        link=link,
        email=email,
        role=role,
        error=error,
    )
