"""Runs as they go: those in Airflow, whoever asked for them, and what each workspace notes of its
stages, which holds for runs without Airflow too.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline import files
from pipeline.catalog import Workspace
from pipeline.params import RELEASE_ID
from pipeline.refusal import Refusal
from pipeline.services.airflow_server import airflow_address
from pipeline.services.tracking import read_notes
from pipeline.stages import STAGES
from portal.custodian.airflow import AWAY
from portal.custodian.progress import Run, every_run
from portal.shared.accounts import Account
from portal.shared.guard import require
from portal.shared.pages import render
from portal.shared.steps import WORDS

router = APIRouter()
Staff = Annotated[Account, Depends(require("custodian", "engineer"))]


@router.get("/runs")
def show_runs(request: Request, account: Staff) -> Response:
    runs, away = runs_in_airflow(request)
    home = request.app.state.home
    folders = [path for path in home.runs.glob("*") if RELEASE_ID.fullmatch(path.name)]
    notes = [(path.name, read_notes(Workspace(path))) for path in sorted(folders, reverse=True)]
    return render(
        request,
        "runs.html",
        runs=runs,
        away=away,
        workspaces=notes,
        words=WORDS,
        airflow=airflow_address(),
    )


@router.get("/runs/{release_id}")
def show_run(request: Request, account: Staff, release_id: str) -> Response:
    home = request.app.state.home
    workspace = home.workspace(release_id)
    if not RELEASE_ID.fullmatch(release_id) or not workspace.params.is_file():
        raise HTTPException(404)
    runs, away = runs_in_airflow(request)
    facts = files.read_json(workspace.restricted.run) or {}
    return render(
        request,
        "run.html",
        release_id=release_id,
        stages=read_notes(workspace),
        names=STAGES,
        runs=[run for run in runs if run.release_id == release_id],
        away=away,
        asked_by=facts.get("asked_by") or "nobody known",
        is_published=home.release(release_id).manifest.is_file(),
        words=WORDS,
        airflow=airflow_address(),
    )


def runs_in_airflow(request: Request) -> tuple[list[Run], bool]:
    """(the last runs, whether Airflow is away)."""
    try:
        return every_run(request.app.state.airflow, request.app.state.home), False
    except (AWAY, Refusal):
        return [], True
