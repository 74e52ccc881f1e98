"""The pages of requests: mine, a new one, one with its messages."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Form
from sqlalchemy import Row
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.refusal import Refusal
from portal.public.requests import choices, plan_form
from portal.public.requests.asking import EPSILONS, Draft, draft_of, store
from portal.shared import messages, states, words
from portal.shared.accounts import Account
from portal.shared.actions import record
from portal.shared.database import connection, now
from portal.shared.guard import require
from portal.shared.pages import render
from portal.shared.steps import steps
from portal.shared.tables import requests

router = APIRouter()
Researcher = Annotated[Account, Depends(require("researcher"))]


async def sent_form(request: Request) -> FormData:
    """For `Depends`: all fields of the form that was sent, whatever they are called."""
    return await request.form()


@router.get("/requests")
def show_mine(request: Request, account: Researcher) -> Response:
    with connection(request) as c:
        rows = c.execute(
            sa.select(requests)
            .where(requests.c.email == account.email)
            .order_by(requests.c.created_at.desc(), requests.c.id)
        ).all()
    return render(request, "requests.html", mine=rows, tags=states.TAGS)


@router.get("/requests/new")
def show_new(
    request: Request,
    account: Researcher,
    release: str | None = None,
    dataset: str | None = None,
) -> Response:
    home = request.app.state.home
    if not release and not dataset:
        return render(
            request,
            "request_choice.html",
            cards=choices.cards(home),
            datasets=choices.datasets(home),
        )
    return _form(request, choices.chosen(home, release or None, dataset), FormData(), "")


@router.post("/requests/new")
def send_new(
    request: Request,
    account: Researcher,
    form: Annotated[FormData, Depends(sent_form)],
    release: str | None = None,
    dataset: str | None = None,
) -> Response:
    choice = choices.chosen(request.app.state.home, release or None, dataset)
    try:
        draft: Draft = draft_of(form, choice)
        with connection(request) as c:
            number = store(c, account, draft)
    except Refusal as refusal:
        return _form(request, choice, form, str(refusal))
    record(request, account, "asked for an extract", number)
    return RedirectResponse(f"/requests/{number}", 303)


@router.get("/requests/{number}")
def show_one(request: Request, account: Researcher, number: str) -> Response:
    return _page(request, account, number, "")


@router.post("/requests/{number}/messages")
def send_message(
    request: Request,
    account: Researcher,
    number: str,
    text: Annotated[str, Form(max_length=2 * messages.LONGEST)] = "",
) -> Response:
    _own(request, account, number)
    try:
        with connection(request) as c:
            messages.write(c, number, account, text)
    except Refusal as refusal:
        return _page(request, account, number, str(refusal))
    record(request, account, "wrote a message", number)
    return RedirectResponse(f"/requests/{number}#messages", 303)


@router.post("/requests/{number}/withdraw")
def withdraw(request: Request, account: Researcher, number: str) -> Response:
    _own(request, account, number)
    with connection(request) as c:
        has_moved = states.move(c, number, states.WITHDRAWN, now())
    if not has_moved:
        raise Refusal("this request can no longer be withdrawn: write a message to the custodian")
    record(request, account, "withdrew a request", number)
    return RedirectResponse(f"/requests/{number}", 303)


def _own(request: Request, account: Account, number: str) -> Row[tuple[object, ...]]:
    """A request of this account. Raises 404 for somebody else's, as for none."""
    with connection(request) as c:
        row = c.execute(
            sa.select(requests).where(requests.c.id == number, requests.c.email == account.email)
        ).one_or_none()
    if row is None:
        raise HTTPException(404)
    return row


def _page(request: Request, account: Account, number: str, error: str) -> Response:
    row = _own(request, account, number)
    with connection(request) as c:
        letters = messages.of(c, number)
    return render(
        request,
        "request.html",
        400 if error else 200,
        asked=row,
        messages=letters,
        error=error,
        meaning=states.MEANING[str(row.state)],
        is_open=row.state not in states.ENDS,
        steps=steps(str(row.kind), str(row.stage)),
        tags=states.TAGS,
        epsilon=words.epsilon_in_words(row.epsilon) if row.epsilon else "",
    )


def _form(request: Request, choice: choices.Choice, form: FormData, error: str) -> Response:
    """The form, as it was filled in, with what is wrong about it."""
    models = [
        one for one in choices.cards(request.app.state.home) if one["dataset"] == choice.dataset
    ]
    return render(
        request,
        "request_new.html",
        400 if error else 200,
        choice=choice,
        models=models,
        form=form,
        error=error,
        few=plan_form.FEW,
        starts=plan_form.STARTS,
        bounds=plan_form.bounds,
        epsilons=[(one, words.strength(one), words.factor(one)) for one in EPSILONS],
    )
