"""The pages of an account: sign in and out, take up an invitation, change a password."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.refusal import Refusal
from portal.shared import accounts, sessions
from portal.shared.accounts import Account
from portal.shared.actions import record
from portal.shared.database import connection
from portal.shared.guard import require
from portal.shared.pages import render

router = APIRouter()
WRONG = (
    "Address and password do not belong together, or the account is locked. After five wrong"
    " passwords an account is locked for a quarter of an hour."
)


def address(request: Request) -> str:
    """The sign-in page, which leads back to the page that was asked for."""
    if request.method != "GET":
        return "/sign-in"
    query = f"?{request.url.query}" if request.url.query else ""
    return f"/sign-in?next={quote(request.url.path + query, safe='')}"


def inside(path: str) -> str:
    """The path where it leads into this site, else the first page: no way out to another site."""
    is_inside = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if is_inside and path.isprintable() else "/"


@router.get("/sign-in")
def show_sign_in(request: Request, next: str = "/") -> Response:
    return render(request, "sign_in.html", next=inside(next), email="", error="")


@router.post("/sign-in")
def sign_in(
    request: Request,
    email: Annotated[str, Form(max_length=400)],
    password: Annotated[str, Form(max_length=400)],
    next: Annotated[str, Form(max_length=4000)] = "/",
) -> Response:
    with connection(request) as c:
        account = accounts.sign_in(c, email, password)
        token = sessions.begin(c, account) if account else None
    record(request, account, "signed in" if account else "was refused to sign in")
    if token is None:
        return render(
            request, "sign_in.html", 401, next=inside(next), email=email[:254], error=WRONG
        )
    return _begin(request, token, inside(next))


@router.post("/sign-out")
def sign_out(request: Request, account: Annotated[Account, Depends(require())]) -> Response:
    record(request, account, "signed out")
    response = RedirectResponse("/", 303)
    sessions.end(request, response)
    return response


@router.get("/invitation/{token}")
def show_invitation(request: Request, token: str) -> Response:
    with connection(request) as c:
        invitation = accounts.open_invitation(c, token)
    if invitation is None:
        raise Refusal("this invitation was used or is older than a week: ask for a new one")
    return render(request, "invitation.html", invitation=invitation, token=token, error="", name="")


@router.post("/invitation/{token}")
def take_invitation(
    request: Request,
    token: str,
    name: Annotated[str, Form(max_length=400)],
    password: Annotated[str, Form(max_length=400)],
    organisation: Annotated[str, Form(max_length=400)] = "",
) -> Response:
    try:
        with connection(request) as c:
            account = accounts.accept(
                c, token, name=name, organisation=organisation, password=password
            )
            session = sessions.begin(c, account)
    except Refusal as error:
        with connection(request) as c:
            invitation = accounts.open_invitation(c, token)
        if invitation is None:
            raise
        return render(
            request,
            "invitation.html",
            400,
            invitation=invitation,
            token=token,
            error=str(error),
            name=name[:100],
        )
    record(request, account, "took up an invitation")
    return _begin(request, session, "/")


@router.get("/account")
def show_account(request: Request, account: Annotated[Account, Depends(require())]) -> Response:
    return render(request, "account.html", done=False, error="")


@router.post("/account")
def change_account(
    request: Request,
    account: Annotated[Account, Depends(require())],
    old: Annotated[str, Form(max_length=400)],
    new: Annotated[str, Form(max_length=400)],
) -> Response:
    try:
        with connection(request) as c:
            accounts.refuse_password(new)
            is_right = accounts.sign_in(c, account.email, old) is not None
            if is_right:
                accounts.set_password(c, account, new)
                token = sessions.begin(c, account)
    except Refusal as error:
        return render(request, "account.html", 400, done=False, error=str(error))
    if not is_right:
        record(request, account, "was refused to change the password")
        return render(
            request, "account.html", 400, done=False, error="the old password is not right"
        )
    record(request, account, "changed the password")
    response = render(request, "account.html", done=True, error="")
    sessions.set_cookie(request, response, token)
    return response


def _begin(request: Request, token: str, path: str) -> Response:
    response = RedirectResponse(path, 303)
    sessions.set_cookie(request, response, token)
    return response
