"""How the runs in Airflow go, and what of it somebody outside is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import files
from pipeline.catalog import Home
from pipeline.services.airflow_api import AirflowRefusal
from portal.custodian.airflow import Airflow
from portal.custodian.dispatch import RequestRow
from portal.shared import states
from portal.shared.steps import QUEUED, WORDS

NOT_THERE, IS_THERE = 404, 409
WAITING, GOING = "awaiting_input", ("running", "queued", "scheduled", "deferred", "restarting")
QUESTIONS = ("confirmation", "approval")  # tasks of the DAG `refresh` that ask a person
DAGS = ("request", "refresh", "draw")
ENDED = ("success", "failed")


@dataclass(frozen=True)
class Run:
    """One run of ours in Airflow. `stage`: the task that goes on now; `question`: the one that
    waits for a person.
    """

    dag: str
    run_id: str
    state: str
    started: str
    release_id: str
    stage: str | None
    question: str | None


def of(airflow: Airflow, home: Home, row: RequestRow) -> tuple[str, str | None]:
    """(state, stage) of a request that was sent, as it is: for staff."""
    try:
        state = airflow.run_state("request", str(row.id))
    except AirflowRefusal as refusal:
        if refusal.status != NOT_THERE:
            raise ConnectionError(f"Airflow said {refusal.status}") from None
        return states.STOPPED, None  # somebody removed the run
    if state == "failed":
        return states.STOPPED, None
    if state == "success":
        is_there = home.release(str(row.release_id)).manifest.is_file()
        return (states.PUBLISHED if is_there else states.STOPPED), None
    stage = _stage(airflow, str(row.id))
    waits = stage in QUESTIONS
    return (states.AWAITING if waits else states.IN_PROGRESS), stage


def outside(row: RequestRow) -> tuple[str, str | None]:
    """What somebody outside is told: of confidential data neither a stage nor that a person was
    asked before the charge.
    """
    if row.is_live:
        return str(row.state), WORDS.get(str(row.stage)) if row.stage else None
    is_early = row.state == states.AWAITING and row.stage != "approval"
    return (states.IN_PROGRESS if is_early else str(row.state)), None


def every_run(airflow: Airflow, home: Home) -> list[Run]:
    """The last runs of our DAGs, the newest first, whoever asked for them."""
    owners = _owners(home)
    runs = []
    for dag in DAGS:
        for run in airflow.runs(dag):
            run_id, state = str(run["dag_run_id"]), str(run["state"])
            tasks = [] if state in ENDED else _going(airflow.tasks(dag, run_id))
            stage = tasks[0] if tasks else None
            runs.append(
                Run(
                    dag=dag,
                    run_id=run_id,
                    state=state,
                    started=str(run.get("run_after") or "")[:19].replace("T", " "),
                    release_id=_release_of(run, owners),
                    stage=stage,
                    question=stage if stage in QUESTIONS else None,
                )
            )
    return sorted(runs, key=lambda run: run.started, reverse=True)


def waiting(airflow: Airflow, home: Home) -> list[Run]:
    """The runs that wait for a person."""
    return [run for run in every_run(airflow, home) if run.question]


def _stage(airflow: Airflow, run_id: str) -> str | None:
    """The task that goes on now, in the DAG that was started last."""
    stage = None
    for dag in DAGS:
        try:
            going = _going(airflow.tasks(dag, run_id))
        except AirflowRefusal as refusal:
            if refusal.status != NOT_THERE:
                raise ConnectionError(f"Airflow said {refusal.status}") from None
            continue
        if going:
            stage = going[0] if dag != "request" or going[0] == "check" else QUEUED
    return stage


def _going(tasks: Sequence[dict[str, Any]]) -> list[str]:
    """The tasks that go on: those that wait for a person first."""
    asking = [str(task["task_id"]) for task in tasks if task["state"] == WAITING]
    return asking + [str(task["task_id"]) for task in tasks if task["state"] in GOING]


def _release_of(run: Mapping[str, Any], owners: Mapping[str, str]) -> str:
    """The form's release id, else that of the workspace that the run made; empty before that."""
    conf = run.get("conf") or {}
    return str(conf.get("release_id") or owners.get(str(run["dag_run_id"])) or "")


def _owners(home: Home) -> dict[str, str]:
    """{run in Airflow: release id}, from what the workspaces note."""
    runs = {path.name: home.workspace(path.name).restricted.run for path in home.runs.glob("*")}
    return {str((files.read_json(run) or {}).get("owner")): name for name, run in runs.items()}
