"""The run of a release in MLflow, with a run for each attempt at a stage below it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline import files, params
from pipeline.catalog import Home, Workspace
from pipeline.refusal import Refusal
from pipeline.services.tracking.client import EXPERIMENT, client_of, experiment, log_metrics
from pipeline.services.tracking.run_facts import RunFacts, run_facts
from pipeline.services.tracking.stage_notes import Note, notes_path, read_notes

if TYPE_CHECKING:
    from mlflow import MlflowClient


def sync(home: Home, workspace: Workspace) -> str:
    """Brings MLflow up to date with the workspace; returns the id of the release's run. The same
    twice changes nothing.

    Raises Refusal where the folder is no workspace of a release.
    """
    settings = params.load(workspace.params)
    if settings.release.id is None or not workspace.dataset.is_file():
        raise Refusal(
            f"{workspace.root} is no workspace of a release: go to runs/<release_id>/, or make one "
            "with `python -m pipeline prepare`"
        )
    client, notes = client_of(home), read_notes(workspace)
    place = experiment(client, home)
    run = _release_run(client, place, settings.release.id, settings.release.dataset, notes)
    _log_stages(client, place, run, notes)
    _log_facts(client, run, run_facts(workspace, notes, f"#/experiments/{place}/runs/{run}"))
    if notes:
        _close(client, run, notes[-1])
    files.write_json(workspace.tracking, {"experiment": EXPERIMENT, "parent_run": run})
    return run


def catch_up(home: Home) -> list[str]:
    """Syncs every run whose last notes MLflow has not seen, such as one that was killed; returns
    their release ids.
    """
    behind = []
    for folder in sorted(home.runs.glob("*")):
        workspace = Workspace(folder)
        notes = notes_path(workspace)
        if not notes.is_file() or not workspace.dataset.is_file():
            continue
        synced = workspace.tracking
        if not synced.is_file() or synced.stat().st_mtime < notes.stat().st_mtime:
            sync(home, workspace)
            behind.append(folder.name)
    return behind


def _release_run(
    client: MlflowClient, place: str, release_id: str, dataset: str, notes: list[Note]
) -> str:
    """The run of the release, which is made where it is missing: it began when its first stage
    did.
    """
    same = f"tags.release_id = '{release_id}' and tags.kind = 'release'"
    if present := client.search_runs([place], same, max_results=1):
        return str(present[0].info.run_id)
    tags = {"release_id": release_id, "kind": "release", "dataset": dataset}
    begin = notes[0].started_ms if notes else None
    run = client.create_run(place, start_time=begin, tags=tags, run_name=release_id)
    return str(run.info.run_id)


def _log_stages(client: MlflowClient, place: str, parent: str, notes: list[Note]) -> None:
    """A run below the release's for each attempt that has none yet."""
    present = {run.data.tags.get("attempt") for run in _stage_runs(client, place, parent)}
    for number, entry in enumerate(notes, start=1):
        attempt = f"{entry.stage} {number}"
        if attempt in present:
            continue
        tags = {
            "mlflow.parentRunId": parent,
            "kind": "stage",
            "stage": entry.stage,
            "attempt": attempt,
        }
        if entry.airflow_run:
            tags["airflow_run"] = entry.airflow_run
        run = client.create_run(place, start_time=entry.started_ms, tags=tags, run_name=entry.stage)
        client.log_metric(run.info.run_id, "seconds", entry.seconds)
        client.set_terminated(run.info.run_id, entry.status, end_time=entry.end_ms)


def _stage_runs(client: MlflowClient, place: str, parent: str) -> Iterator[Any]:
    yield from client.search_runs(
        [place], f"tags.`mlflow.parentRunId` = '{parent}'", max_results=1000
    )


def _log_facts(client: MlflowClient, run: str, facts: RunFacts) -> None:
    """Tags and files take their newest state; a parameter keeps its first; a metric is logged when
    it has changed.
    """
    from mlflow.entities import Metric

    data = client.get_run(run).data
    for key, tag in facts.tags.items():
        if data.tags.get(key) != tag:
            client.set_tag(run, key, tag)
    for key, value in facts.params.items():
        if key not in data.params:
            client.log_param(run, key, value)
    now = int(time.time() * 1000)
    changes = [
        Metric(key, value, now, 0)
        for key, value in facts.metrics.items()
        if data.metrics.get(key) != value
    ]
    log_metrics(client, run, changes)
    for name, path in facts.artifacts.items():
        client.log_artifact(run, str(path), name.rpartition("/")[0] or None)


def _close(client: MlflowClient, run: str, last: Note) -> None:
    """The release's run ends as its last stage did: RUNNING until something failed or publish
    finished.
    """
    if last.status == "FAILED" or last.stage == "publish":
        client.set_terminated(run, last.status, end_time=last.end_ms)
    else:
        client.update_run(run, status="RUNNING")
