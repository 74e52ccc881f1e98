"""Yes or no to a release: everything that a custodian decides by, on one page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from pipeline import files, params
from pipeline.catalog import Home
from pipeline.params import RELEASE_ID
from pipeline.refusal import Refusal
from portal.custodian.airflow import AWAY
from portal.custodian.approvals.case import Case, open_case
from portal.custodian.progress import Run, waiting
from portal.custodian.tables import dispatches, reasons
from portal.shared.accounts import Account
from portal.shared.actions import record
from portal.shared.database import connection, now
from portal.shared.guard import require
from portal.shared.pages import render

router = APIRouter()
Custodian = Annotated[Account, Depends(require("custodian"))]
ANSWERS = ("Approve", "Reject")
SHORTEST, LONGEST = 10, 4000  # characters of the reason of a no
AWAY_WORDS = "Airflow does not answer now: nothing was decided. Try again in a minute"
# The report is our own page of figures: no script runs in it, nothing is loaded, it leads nowhere.
REPORT = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:;"
        " frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}


@router.get("/approvals")
def show_waiting(request: Request, account: Custodian) -> Response:
    try:
        runs, away = _waiting(request), False
    except Refusal:
        runs, away = [], True
    with connection(request) as c:
        past = c.execute(sa.select(reasons).order_by(reasons.c.id.desc()).limit(20)).all()
    return render(request, "approvals.html", runs=runs, away=away, past=past)


@router.get("/approvals/{release_id}")
def show_case(request: Request, account: Custodian, release_id: str) -> Response:
    return _page(request, account, _find(request, release_id), "")


@router.get("/approvals/{release_id}/report")
def show_report(request: Request, account: Custodian, release_id: str) -> Response:
    """The restricted report, by itself."""
    if not RELEASE_ID.fullmatch(release_id):
        raise HTTPException(404)
    page = request.app.state.home.workspace(release_id).restricted.report.page
    if not page.is_file():
        raise HTTPException(404)
    record(request, account, "opened the restricted report", release_id)
    return FileResponse(page, media_type="text/html", headers=REPORT)


@router.post("/approvals/{release_id}")
def decide(
    request: Request,
    account: Custodian,
    release_id: str,
    task: Annotated[str, Form(max_length=40)],
    answer: Annotated[str, Form(max_length=10)],
    reason: Annotated[str, Form(max_length=2 * LONGEST)] = "",
    sure: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    case = _find(request, release_id)
    try:
        _check(request.app.state.home, account, case, task, answer, reason.strip(), bool(sure))
        _note(request, account, case, answer, reason.strip())
        request.app.state.airflow.answer(
            case.run.dag, case.run.run_id, task, answer, answered_by=account.email
        )
    except AWAY:
        return _page(request, account, case, AWAY_WORDS, reason)
    except Refusal as refusal:
        return _page(request, account, case, str(refusal), reason)
    record(request, account, f"answered {answer.lower()} to a release", release_id)
    return RedirectResponse("/approvals", 303)


def _check(
    home: Home, account: Account, case: Case, task: str, answer: str, reason: str, sure: bool
) -> None:
    """Raises Refusal where this answer cannot be given."""
    if task != case.run.question or answer not in ANSWERS:
        raise Refusal("the run waits for another answer now: read it again")
    if _is_own(home, account, case):
        raise Refusal("this release was asked for by you: somebody else must answer")
    if len(reason) > LONGEST:
        raise Refusal(f"the reason has more than {LONGEST:,} characters")
    if answer == "Reject" and len(reason) < SHORTEST:
        raise Refusal(f"write why not, with at least {SHORTEST} characters; it stays restricted")
    if answer == "Reject" and not sure:
        raise Refusal("tick that you know what a no costs")


def _is_own(home: Home, account: Account, case: Case) -> bool:
    """Whether the custodian asked for the run, here or under a name in Airflow."""
    users = params.load(home.params).approve.airflow_users
    return users.get(case.asked_by, case.asked_by).strip().lower() == account.email


def _note(request: Request, account: Account, case: Case, answer: str, reason: str) -> None:
    """The reason, in the custodian's database and in the run's restricted folder: before the answer
    is given, so that it is never lost.
    """
    task, release_id = str(case.run.question), case.run.release_id
    with connection(request) as c:
        c.execute(
            sa.insert(reasons).values(
                at=now(),
                release_id=release_id,
                task=task,
                answer=answer,
                email=account.email,
                reason=reason,
            )
        )
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "task": task, "answer": answer}
    line |= {"by": account.email, "reason": reason}
    path = request.app.state.home.workspace(release_id).restricted.reasons
    files.append_line(path, json.dumps(line))


def _waiting(request: Request) -> list[Run]:
    """Raises Refusal while Airflow is away."""
    try:
        return waiting(request.app.state.airflow, request.app.state.home)
    except AWAY:
        raise Refusal(AWAY_WORDS) from None


def _find(request: Request, release_id: str) -> Case:
    """Raises 404 where no run of this release waits."""
    runs = [run for run in _waiting(request) if run.release_id == release_id]
    if not runs or not RELEASE_ID.fullmatch(release_id):
        raise HTTPException(404)
    return open_case(request.app.state.home, runs[0])


def _page(request: Request, account: Account, case: Case, error: str, reason: str = "") -> Response:
    release_id = case.run.release_id
    with connection(request) as c:
        origin = c.execute(
            sa.select(dispatches).where(dispatches.c.release_id == release_id)
        ).one_or_none()
        past = c.execute(sa.select(reasons).where(reasons.c.release_id == release_id)).all()
    return render(
        request,
        "approval.html",
        400 if error else 200,
        case=case,
        asked=origin,
        past=past,
        error=error,
        reason=reason,
        is_own=_is_own(request.app.state.home, account, case),
    )
