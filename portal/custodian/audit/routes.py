"""The auditor's pages. They read, and change nothing but the log that says who read."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from pipeline import files, params
from pipeline.catalog import Home
from pipeline.ledger import Ledger
from pipeline.params import RELEASE_ID
from pipeline.services.mlflow_server import mlflow_address
from portal.custodian.audit import chain, lineage, log
from portal.shared.accounts import Account
from portal.shared.actions import record
from portal.shared.database import connection, exchange
from portal.shared.guard import require
from portal.shared.pages import render

router = APIRouter(prefix="/audit")
Auditor = Annotated[Account, Depends(require("auditor", "custodian"))]
Text = Annotated[str, Query(max_length=254)]
ON_PAGE, IN_CSV = 100, 100_000  # actions
LAST_PAGE = 1000


@router.get("")
def show_audit(request: Request, account: Auditor) -> Response:
    home: Home = request.app.state.home
    check = chain.check(home)
    standings = [] if check.fault else chain.known_standings(home)[1]
    return render(
        request,
        "audit.html",
        check=check,
        standings=standings,
        releases=lineage.every(home, standings),
        newest=log.read(request, log.Filter(), 8),
    )


@router.get("/ledger")
def show_ledger(
    request: Request, account: Auditor, population: Text = "", release: Text = ""
) -> Response:
    home: Home = request.app.state.home
    entries = chain.entries(home)
    return render(
        request,
        "audit_ledger.html",
        check=chain.check(home),
        entries=[
            (entry, chain.in_words(entry))
            for entry in entries
            if population in ("", entry.population) and release in ("", entry.release_id)
        ],
        populations=sorted({entry.population for entry in entries}),
        population=population,
        release=release,
    )


@router.post("/ledger/check")
def check_ledger(request: Request, account: Auditor) -> Response:
    """The check of `python -m pipeline ledger verify`: MLflow's chain heads too."""
    check = chain.check(request.app.state.home, with_mlflow=True)
    record(request, account, "checked the ledger", "broken" if check.fault else "whole")
    return render(request, "audit_check.html", check=check)


@router.get("/ledger.json")
def export_ledger(request: Request, account: Auditor) -> Response:
    """Everything, as `python -m pipeline ledger export` writes it."""
    record(request, account, "exported the ledger")
    home: Home = request.app.state.home
    return JSONResponse(
        Ledger(home.ledger).export(),
        headers={"Content-Disposition": 'attachment; filename="ledger.json"'},
    )


@router.get("/budgets")
def show_budgets(request: Request, account: Auditor) -> Response:
    from pipeline.evaluation import budget_page  # loads matplotlib

    home: Home = request.app.state.home
    head, standings = chain.known_standings(home)
    settings = params.load(home.params).privacy
    figures = budget_page.figures(standings, head, datetime.now(UTC), settings)
    return render(
        request,
        "audit_budgets.html",
        figures=figures,
        warn_above=1 - settings.warn_below_share,
    )


@router.get("/releases")
def list_releases(request: Request, account: Auditor) -> Response:
    home: Home = request.app.state.home
    return render(
        request, "audit_releases.html", releases=lineage.every(home, chain.known_standings(home)[1])
    )


@router.get("/releases/{release_id}")
def show_lineage(request: Request, account: Auditor, release_id: str) -> Response:
    _check_id(release_id)
    with connection(request) as own, exchange(request) as public:
        steps = lineage.steps(request.app.state.home, own, public, release_id)
    if not steps:
        raise HTTPException(404)
    return render(request, "audit_lineage.html", release_id=release_id, steps=steps)


@router.get("/releases/{release_id}/mlflow")
def to_mlflow(request: Request, account: Auditor, release_id: str) -> Response:
    """To the run's page in MLflow, whose address holds the id of the experiment."""
    _check_id(release_id)
    home: Home = request.app.state.home
    run = (files.read_json(home.workspace(release_id).tracking) or {}).get("parent_run")
    if run is None:
        raise HTTPException(404)
    from pipeline.services.tracking.client import client_of  # loads MLflow

    experiment = client_of(home).get_run(run).info.experiment_id
    base = mlflow_address().partition("#")[0]
    return RedirectResponse(f"{base}#/experiments/{experiment}/runs/{run}", 303)


@router.get("/actions")
def show_actions(
    request: Request,
    account: Auditor,
    person: Text = "",
    action: Text = "",
    since: Text = "",
    until: Text = "",
    page: Annotated[int, Query(ge=1, le=LAST_PAGE)] = 1,
) -> Response:
    filters = log.Filter(person.strip(), action, log.day(since), log.day(until))
    some = log.read(request, filters, ON_PAGE + 1, (page - 1) * ON_PAGE)
    return render(
        request,
        "audit_actions.html",
        some=some[:ON_PAGE],
        has_more=len(some) > ON_PAGE,
        page=page,
        kinds=log.kinds(request),
        filters={name: value or "" for name, value in asdict(filters).items()},
    )


@router.get("/actions.csv")
def export_actions(
    request: Request,
    account: Auditor,
    person: Text = "",
    action: Text = "",
    since: Text = "",
    until: Text = "",
) -> Response:
    filters = log.Filter(person.strip(), action, log.day(since), log.day(until))
    some = log.read(request, filters, IN_CSV)
    record(request, account, "exported the log of actions")
    return StreamingResponse(
        log.as_csv(some),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="actions.csv"'},
    )


def _check_id(release_id: str) -> None:
    if not RELEASE_ID.fullmatch(release_id):
        raise HTTPException(404)
