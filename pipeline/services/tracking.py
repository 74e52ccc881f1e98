"""MLflow, the auditors' view of the releases: a parent run per release, a child per stage, the
budget, the released model.

A mirror, restricted, without anything about single patients; the ledger is the authority. Stages
note how they ended in the workspace (`note`), and `sync` brings MLflow up to date with the notes:
loading MLflow takes seconds, so not every stage does it. No other module imports mlflow.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import files
from pipeline.catalog import Home, Workspace, project_root
from pipeline.refusal import Refusal

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "releases"
BUDGET_EXPERIMENT = "budget"
MOST_METRICS = 1000  # in one call
ALIAS = "released"
AIRFLOW_RUN_VARIABLE = "AIRFLOW_CTX_DAG_RUN_ID"


@dataclass(frozen=True, kw_only=True)
class Note:
    """How one attempt at a stage ended."""

    stage: str
    started_ms: int
    seconds: float
    status: str  # FINISHED or FAILED
    airflow_run: str | None


def note(
    workspace: Workspace, *, stage: str, started: datetime, seconds: float, status: str
) -> None:
    """Appends how a stage ended to the workspace's notes. Costs nothing."""
    entry = Note(
        stage=stage,
        started_ms=int(started.timestamp() * 1000),
        seconds=round(seconds, 3),
        status=status,
        airflow_run=os.environ.get(AIRFLOW_RUN_VARIABLE),
    )
    path = _notes_path(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(entry)) + "\n")


def sync(home: Home, workspace: Workspace) -> str:
    """Brings MLflow up to date with the workspace; returns the parent run's id. The same twice
    changes nothing.
    """
    from pipeline import params

    client, release = client_of(home), params.load(workspace.params).release
    settings = params.load(workspace.params)
    parent = _parent(client, _experiment(client, home), str(release.id), release.dataset)
    noted = _read_notes(workspace)
    known = {run.data.tags.get("attempt") for run in _children(client, parent)}
    for number, entry in enumerate(noted, start=1):
        attempt = f"{entry.stage} {number}"
        if attempt not in known:
            _log_stage(client, parent, entry, attempt)
    facts = _reserved_facts(workspace)
    low = files.read_json(workspace.restricted.budget, {}).get("warning")
    tags = {
        "dataset": release.dataset,
        "data_id": release.data_id,
        "source_label": release.source_label,
        "code_version": code_version(project_root()),
        "drawn_from": getattr(release, "drawn_from", None),
        "budget_warning": low,
        "mlflow.note.content": f"**Low budget:** {low}." if low else None,
        **facts.tags,
    }
    tags["airflow_run"] = next(
        (entry.airflow_run for entry in reversed(noted) if entry.airflow_run), None
    )
    for key, value in tags.items():
        if value is not None:
            client.set_tag(parent, key, str(value))
    held = client.get_run(parent).data.params
    wanted = {
        "epsilon": settings.privacy.epsilon,
        "delta": settings.privacy.delta,
        "rows": release.rows,
        **facts.params,
    }
    for key, value in wanted.items():
        if key not in held:
            client.log_param(parent, key, value)
    if noted:
        _close(client, parent, noted)
    files.write_json(workspace.tracking, {"experiment": EXPERIMENT, "parent_run": parent})
    return parent


def catch_up(home: Home) -> list[str]:
    """Syncs every run whose last notes MLflow has not seen, such as one that was killed; returns
    their release ids.
    """
    behind = []
    for notes in sorted(home.runs.glob("*/restricted/stages.jsonl")):
        workspace = Workspace(notes.parent.parent)
        if (
            not workspace.tracking.is_file()
            or workspace.tracking.stat().st_mtime < notes.stat().st_mtime
        ):
            sync(home, workspace)
            behind.append(workspace.root.name)
    return behind


def publish_model(release_id: str, model: Path) -> str:
    """Registers the released model under its dataset's name and moves the alias `released` to it;
    returns the version.

    The same release twice keeps its version. Raises ValueError where the release has no workspace.
    """
    from pipeline import params

    home = Home.find()
    workspace = home.workspace(release_id)
    if not workspace.params.is_file():
        raise Refusal(f"release {release_id} has no workspace to register its model from")
    parent, client = sync(home, workspace), client_of(home)
    name = params.load(workspace.params).release.dataset
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
    versions = [
        v
        for v in client.search_model_versions(f"name = '{name}'")
        if v.tags.get("release_id") == release_id
    ]
    if versions:
        version = str(versions[0].version)
    else:
        client.log_artifacts(parent, str(model), "model")
        source = f"{client.get_run(parent).info.artifact_uri}/model"
        version = str(
            client.create_model_version(
                name, source, run_id=parent, tags={"release_id": release_id}
            ).version
        )
    client.set_registered_model_alias(name, ALIAS, version)
    client.set_tag(parent, "published", "yes")
    return version


def publish_budget(
    home: Home,
    folder: Path,
    head: str,
    day: str,
    series: Mapping[str, Sequence[tuple[int, datetime, float]]],
) -> str:
    """One run per report in the experiment `budget`: the files of `folder`, and {figure: [(step,
    time, value)]} as metrics; returns its id.

    The same head on the same day keeps its run, unless that was cut off.
    """
    from mlflow.entities import Metric

    client = client_of(home)
    experiment = _experiment(client, home, BUDGET_EXPERIMENT)
    for run in client.search_runs(
        [experiment], f"tags.chain_head = '{head}' and tags.date = '{day}'"
    ):
        if run.info.status == "FINISHED":
            return str(run.info.run_id)
        client.delete_run(run.info.run_id)
    made = str(
        client.create_run(
            experiment,
            tags={"kind": "budget_report", "chain_head": head, "date": day},
            run_name=f"budget {day}",
        ).info.run_id
    )
    metrics = [
        Metric(name, value, int(at.timestamp() * 1000), step)
        for name, points in series.items()
        for step, at, value in points
    ]
    for first in range(0, len(metrics), MOST_METRICS):
        client.log_batch(made, metrics=metrics[first : first + MOST_METRICS])
    client.log_artifacts(made, str(folder))
    client.set_terminated(made, "FINISHED")
    return made


def code_version(root: Path) -> str:
    """The commit of the code, with `+changes` where the tree differs from it; `unknown` outside
    git.
    """
    git = ["git", "-C", str(root)]
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if commit.returncode != 0:
        return "unknown"
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no"],
        capture_output=True,
        text=True,
        check=False,
    )
    return commit.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def client_of(home: Home) -> MlflowClient:
    """A client of the home's own database; nothing is sent anywhere."""
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
    }
    from mlflow import MlflowClient

    home.mlflow_database.parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=f"sqlite:///{home.mlflow_database.resolve()}")


def tracked_heads(home: Home) -> dict[str, str]:
    """{where: head of the ledger's chain} of every run that noted one; none where there is no
    database yet.
    """
    if not home.mlflow_database.is_file():
        return {}
    client = client_of(home)
    runs = client.search_runs(
        [one.experiment_id for one in client.search_experiments()], max_results=10_000
    )
    heads = (
        (run.info, run.data.tags.get("ledger_head") or run.data.tags.get("chain_head"))
        for run in runs
    )
    return {
        f"the MLflow run {info.run_name} ({info.run_id[:8]})": head for info, head in heads if head
    }


def ensure(home: Home) -> None:
    """Makes the database and the experiment, so that no stage pays for it."""
    _experiment(client_of(home), home)


def _experiment(client: MlflowClient, home: Home, name: str = EXPERIMENT) -> str:
    held = client.get_experiment_by_name(name)
    if held is not None:
        return str(held.experiment_id)
    return str(
        client.create_experiment(name, artifact_location=home.mlflow_artifacts.resolve().as_uri())
    )


def _parent(client: MlflowClient, experiment: str, release_id: str, dataset: str) -> str:
    found = client.search_runs(
        [experiment], f"tags.release_id = '{release_id}' and tags.kind = 'release'", max_results=1
    )
    if found:
        return str(found[0].info.run_id)
    tags = {"release_id": release_id, "kind": "release", "dataset": dataset}
    return str(client.create_run(experiment, tags=tags, run_name=release_id).info.run_id)


def _children(client: MlflowClient, parent: str) -> Iterator[Any]:
    experiment = client.get_run(parent).info.experiment_id
    yield from client.search_runs(
        [experiment], f"tags.`mlflow.parentRunId` = '{parent}'", max_results=1000
    )


def _log_stage(client: MlflowClient, parent: str, entry: Note, attempt: str) -> None:
    experiment = client.get_run(parent).info.experiment_id
    tags = {"mlflow.parentRunId": parent, "kind": "stage", "stage": entry.stage, "attempt": attempt}
    run = client.create_run(
        experiment, start_time=entry.started_ms, tags=tags, run_name=entry.stage
    ).info.run_id
    client.log_metric(run, "seconds", entry.seconds)
    client.set_terminated(run, entry.status, end_time=entry.started_ms + int(entry.seconds * 1000))


def _close(client: MlflowClient, parent: str, noted: list[Note]) -> None:
    """The parent ends as its last stage did: RUNNING until something failed or publish finished."""
    last = noted[-1]
    if last.status == "FAILED" or last.stage == "publish":
        client.set_terminated(
            parent, last.status, end_time=last.started_ms + int(last.seconds * 1000)
        )
    else:
        client.update_run(parent, status="RUNNING")


@dataclass(frozen=True, kw_only=True)
class _Facts:
    params: Mapping[str, Any]
    tags: Mapping[str, Any]


def _reserved_facts(workspace: Workspace) -> _Facts:
    """What the reservation says, all of it public: mechanisms, entry, chain head."""
    reservation = files.read_json(workspace.restricted.reservation)
    if reservation is None:
        return _Facts(params={}, tags={})
    params: dict[str, Any] = {
        "population": reservation.get("population"),
        "epsilon_reserved": reservation.get("epsilon"),
        "delta_reserved": reservation.get("delta"),
    }
    for mechanism in reservation.get("mechanisms", []):
        params |= {
            f"{mechanism['name']}.{key}": value for key, value in mechanism.items() if key != "name"
        }
    tags = {"ledger_entry": reservation.get("entry"), "ledger_head": reservation.get("head")}
    return _Facts(
        params={key: value for key, value in params.items() if value is not None}, tags=tags
    )


def _notes_path(workspace: Workspace) -> Path:
    return workspace.restricted.stages


def _read_notes(workspace: Workspace) -> list[Note]:
    path = _notes_path(workspace)
    if not path.is_file():
        return []
    return [
        Note(**json.loads(line))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.endswith("}")
    ]
