"""The first page of staff: what waits for whom."""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from pipeline.runs.uploads import records
from portal.custodian.airflow import AWAY
from portal.custodian.progress import GOING, every_run
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
        (address, title, ABOUT[address])
        for address, title, roles in request.app.state.nav
        if account.role in roles
    ]
    words = _words(request, {address for address, _, _ in cards})
    return render(request, "desk.html", cards=cards, words=words)


def _words(request: Request, pages: Set[str]) -> dict[str, str]:
    """What these pages have for somebody to do now, in words; empty: nothing. Airflow is asked
    once.
    """
    state, words = request.app.state, {}
    if "/requests" in pages:
        with exchange(request) as c:
            n = c.scalar(sa.select(sa.func.count()).where(requests.c.state == REQUESTED)) or 0
        words["/requests"] = _count(n, "waits", "wait")
    if "/uploads" in pages:
        n = sum(one.state == "received" for one in records.every(state.home))
        words["/uploads"] = _count(n, "in quarantine", "in quarantine")
    if pages & {"/approvals", "/runs"}:
        try:
            runs = every_run(state.airflow, state.home)
        except AWAY:
            return words | {"/approvals": "Airflow is away", "/runs": "Airflow is away"}
        n_asking = sum(run.question is not None for run in runs)
        words["/approvals"] = _count(n_asking, "waits", "wait")
        words["/runs"] = _count(sum(run.state in GOING for run in runs), "goes on", "go on")
    return words


def _count(n: int, one: str, several: str) -> str:
    return f"{n} {one if n == 1 else several}" if n else ""
