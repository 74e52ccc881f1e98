"""The first page of staff: what waits for whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from pipeline.runs.uploads import records
from portal.custodian.airflow import AWAY
from portal.custodian.progress import GOING, every_run, waiting
from portal.shared.accounts import Account
from portal.shared.database import exchange
from portal.shared.guard import require
from portal.shared.pages import render
from portal.shared.states import REQUESTED
from portal.shared.tables import requests

router = APIRouter()
ABOUT: Mapping[str, str] = MappingProxyType(
    {
        "/requests": "What researchers ask for, what it would cost, and messages.",
        "/approvals": "What waits for a person: charges of confidential data, and releases.",
        "/uploads": "Files handed over: encrypted, in quarantine, deleted by date.",
        "/runs": "Every run, stage by stage.",
        "/audit": "Ledger, budgets, lineage of releases, and the log of actions.",
        "/people": "Invite people, close and unlock accounts.",
    }
)


@router.get("/")
def show_desk(request: Request, account: Annotated[Account, Depends(require())]) -> Response:
    cards = [
        (address, title, ABOUT[address], WORDS[address](request) if address in WORDS else "")
        for address, title, roles in request.app.state.nav
        if account.role in roles
    ]
    return render(request, "desk.html", cards=cards)


def _requests(request: Request) -> str:
    with exchange(request) as c:
        n = c.scalar(sa.select(sa.func.count()).where(requests.c.state == REQUESTED)) or 0
    return _count(n, "waits", "wait")


def _to_answer(request: Request) -> str:
    try:
        return _count(
            len(waiting(request.app.state.airflow, request.app.state.home)), "waits", "wait"
        )
    except AWAY:
        return "Airflow is away"


def _going(request: Request) -> str:
    try:
        runs = every_run(request.app.state.airflow, request.app.state.home)
    except AWAY:
        return "Airflow is away"
    return _count(sum(run.state in GOING for run in runs), "goes on", "go on")


def _in_quarantine(request: Request) -> str:
    uploads = records.every(request.app.state.home)
    return _count(sum(one.state == "received" for one in uploads), "in quarantine", "in quarantine")


def _count(n: int, one: str, several: str) -> str:
    return f"{n} {one if n == 1 else several}" if n else ""


# What each page has for somebody to do now, in words; empty: nothing.
WORDS: Mapping[str, Callable[[Request], str]] = MappingProxyType(
    {
        "/requests": _requests,
        "/approvals": _to_answer,
        "/runs": _going,
        "/uploads": _in_quarantine,
    }
)
