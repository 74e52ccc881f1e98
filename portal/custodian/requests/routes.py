"""The inbox: requests with what they cost; yes or no before anything is reserved; messages."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.refusal import Refusal
from portal.custodian import dispatch, populations
from portal.custodian.dispatch import RequestRow
from portal.custodian.tables import dispatches
from portal.shared import messages, states, words
from portal.shared.accounts import Account
from portal.shared.actions import record
from portal.shared.database import connection, exchange, now
from portal.shared.guard import require
from portal.shared.pages import render
from portal.shared.steps import WORDS
from portal.shared.tables import requests

router = APIRouter()
Staff = Annotated[Account, Depends(require("custodian", "engineer", "auditor"))]
Custodian = Annotated[Account, Depends(require("custodian"))]


@router.get("/requests")
def show_inbox(request: Request, account: Staff) -> Response:
    with exchange(request) as c:
        rows = c.execute(
            sa.select(requests).order_by(
                requests.c.state != states.REQUESTED, requests.c.created_at.desc()
            )
        ).all()
    with connection(request) as c:
        decisions = {row.id: row for row in c.execute(sa.select(dispatches))}
    return render(
        request, "inbox.html", rows=rows, dispatches=decisions, tags=states.TAGS, stages=WORDS
    )


@router.get("/requests/{number}")
def show_one(request: Request, account: Staff, number: str) -> Response:
    return _page(request, account, number, "")


@router.post("/requests/{number}/approve")
def approve(
    request: Request,
    account: Custodian,
    number: str,
    sight: Annotated[str, Form(max_length=64)],
) -> Response:
    row, state = _find(request, number), request.app.state
    try:
        if sight != dispatch.digest(row):
            raise Refusal("the request changed since you opened it: read it again")
        if row.state != states.REQUESTED:
            raise Refusal(f"this request is {row.state} already")
        populations.refuse_impossible(state.home, dispatch.wish_of(row))
        dispatch.approve(state.home, state.engine, state.exchange, row, account.email)
    except Refusal as refusal:
        return _page(request, account, number, str(refusal))
    record(request, account, "approved a request", number)
    return RedirectResponse(f"/requests/{number}", 303)


@router.post("/requests/{number}/decline")
def decline(
    request: Request,
    account: Custodian,
    number: str,
    text: Annotated[str, Form(max_length=2 * messages.LONGEST)] = "",
) -> Response:
    _find(request, number)
    try:
        with exchange(request) as c:
            messages.write(c, number, account, text)
            if not states.move(c, number, states.DECLINED, now()):
                raise Refusal("this request was withdrawn or decided meanwhile: open it again")
    except Refusal as refusal:
        return _page(request, account, number, str(refusal))
    record(request, account, "declined a request", number)
    return RedirectResponse(f"/requests/{number}", 303)


@router.post("/requests/{number}/messages")
def send_message(
    request: Request,
    account: Custodian,
    number: str,
    text: Annotated[str, Form(max_length=2 * messages.LONGEST)] = "",
) -> Response:
    _find(request, number)
    try:
        with exchange(request) as c:
            messages.write(c, number, account, text)
    except Refusal as refusal:
        return _page(request, account, number, str(refusal))
    record(request, account, "wrote a message", number)
    return RedirectResponse(f"/requests/{number}#messages", 303)


def _find(request: Request, number: str) -> RequestRow:
    with exchange(request) as c:
        row = c.execute(sa.select(requests).where(requests.c.id == number)).one_or_none()
    if row is None:
        raise HTTPException(404)
    return row


def _page(request: Request, account: Account, number: str, error: str) -> Response:
    row, home = _find(request, number), request.app.state.home
    with exchange(request) as c:
        letters = messages.of(c, number)
    with connection(request) as c:
        decision = c.execute(sa.select(dispatches).where(dispatches.c.id == number)).one_or_none()
    is_open = row.state == states.REQUESTED
    cost, problem, left = "", "", None
    try:
        if is_open:
            wish = dispatch.wish_of(row)
            cost = populations.quote(home, wish)
            left = _refusals_left(request, row)
            populations.refuse_impossible(home, wish)
    except Refusal as refusal:
        problem = str(refusal)
    return render(
        request,
        "inbox_request.html",
        400 if error else 200,
        asked=row,
        messages=letters,
        error=error,
        dispatch=decision,
        sight=dispatch.digest(row),
        cost=cost,
        problem=problem,
        left=left,
        is_own=row.email == account.email,
        may_decide=is_open and account.role == "custodian",
        tags=states.TAGS,
        stages=WORDS,
        epsilon=words.epsilon_in_words(row.epsilon) if row.epsilon else "",
    )


def _refusals_left(request: Request, row: RequestRow) -> int | None:
    """Of the population of a training; None for a draw, which a person never lets out."""
    home = request.app.state.home
    if row.kind != "training":
        return None
    schema = populations.schema_of(home, dispatch.wish_of(row))
    return populations.refusals_left(home, schema.population.name)
