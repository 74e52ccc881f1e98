"""Makes the workspace of a run, `runs/<release_id>/`: a clone of the restricted version store with
copies of the stages, the params and the declaration.

The same request again finds the workspace again, so that a retry redoes only what is missing. A
release id that was used for something else is refused before anything is made.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline import environment, files, params
from pipeline.catalog import Home, Workspace, project_root
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs import places, source_claims, sources, travel, version_stores
from pipeline.runs.declarations import declaration_path
from pipeline.schema import document
from pipeline.schema.reader import read_schema_with_warnings
from pipeline.stages import A_PERSON, AS_DECLARED, STAGES, repro_command

logger = logging.getLogger(__name__)

IGNORED = "/restricted/\n/released/\n*.tmp\n"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person or the scheduler asks for. None takes the custodian's declaration (source,
    label, date) or params.yaml (the rest).

    `owner` names the run that asks (Airflow's run id), so that a retry of that run is told from
    another run with the same id; `asked_by` names the person, for auditors.
    """

    release_id: str
    dataset: str
    source: str | None = None
    label: str | None = None
    extract_date: date | None = None
    epsilon: float | None = None
    rows: int | None = None
    owner: str | None = None
    asked_by: str | None = None
    cohorts: tuple[str, ...] = ()
    approval: str = AS_DECLARED


def make(home: Home, request: Request) -> Workspace:
    """Makes the workspace of `request`, or finds it made. Returns it.

    Raises Refusal for an unknown dataset, a missing source, a value out of range, or a release
    id used before; DeclarationError for mistakes in the declaration. Then nothing was made.
    """
    with travel.preparing(home, request.release_id):
        return _make(home, request)


def _make(home: Home, request: Request) -> Workspace:
    path = declaration_path(request.dataset)
    schema, warnings = read_schema_with_warnings(path)
    if schema.dataset != path.stem:
        raise Refusal(
            f"{path.name} declares dataset {schema.dataset!r}: call both by one name, for a release"
            " goes by it"
        )
    for warning in warnings:
        logger.warning("%s", warning)
    settings = _settings(home, request)
    checked = params.from_mapping(settings)
    workspace = home.workspace(request.release_id)
    version_stores.ensure(home)
    resolved = document.read(path).value
    if workspace.params.is_file():
        _refuse_other_settings(workspace, settings, resolved)
        _refuse_published(home, request, workspace)
        return workspace
    _refuse_used(home, request.release_id, schema.population.name)
    if not places.is_there(str(checked.release.source)):
        raise Refusal(f"there is nothing at the source {checked.release.source}")
    source_claims.claim(
        home,
        str(checked.release.source),
        population=schema.population.name,
        kind=schema.population.kind,
        for_good=False,
    )
    if (
        schema.events is not None
        and schema.events.observation_end
        and checked.release.extract_date is None
    ):
        raise Refusal(
            f"{request.dataset} is observed up to a public last day: give it with --extract-date"
            " YYYY-MM-DD, or declare it with the source"
        )
    _build(home, workspace, settings, resolved, request)
    return workspace


def run_stage(workspace: Workspace, stage: str) -> int:
    """Runs one stage there as an Airflow task does; returns its exit code (0 done, 2 refused)."""
    with travel.visiting(Home.find(), workspace.root.name, stage):
        return run_there(workspace, repro_command(stage))


def run_there(workspace: Workspace, command: str) -> int:
    """Runs a shell line with the workspace as its folder; returns its exit code."""
    return subprocess.run(
        ["bash", "-c", command], cwd=workspace.root, env=environment.for_stages(), check=False
    ).returncode


def record(home: Home, workspace: Workspace, stage: str) -> None:
    """Commits dvc.lock to the run's branch of the restricted version store; after the last stage
    also pushes the data there. For several hosts each stage pushes its own.
    """
    if home.deployment.is_shared:
        travel.record(home, workspace, stage)
    else:
        _record(workspace, stage)
    if stage == list(STAGES)[-1]:
        files.write_text(workspace.restricted.complete, "yes\n")


def _record(workspace: Workspace, stage: str) -> None:
    version_stores.commit_all(workspace.root, f"{stage} of {workspace.root.name}")
    if stage == list(STAGES)[-1]:
        version_stores.dvc("push", "--quiet", "--remote", "restricted", cwd=workspace.root)
    version_stores.git("push", "-q", "--force", "origin", "HEAD", cwd=workspace.root)


def unfinished_stages(home: Home, workspace: Workspace) -> list[str]:
    """What a run without Airflow still has to do: everything, or only the last stage where the
    release became visible before a crash.
    """
    names = list(STAGES)
    return (
        names[-1:] if version_stores.is_tagged(home.released_store, workspace.root.name) else names
    )


def _settings(home: Home, request: Request) -> dict[str, Any]:
    """params.yaml with the request filled in, plain values."""
    settings = YAML(typ="safe").load(home.params.read_text(encoding="utf-8"))
    default = sources.get(home, request.dataset)
    if request.source is None and default is None:
        raise Refusal(
            f"no source is declared for {request.dataset}: name one, or declare it with `python -m"
            " pipeline sources set`"
        )
    source = request.source or (default.path if default else None)
    is_declared = default is not None and default.path == source
    label = (
        request.label
        or (default.label if default and is_declared else None)
        or f"{request.dataset} declared with {request.release_id}"
    )
    sources.Source(path=str(source), label=label)
    extract_date = request.extract_date or (
        default.extract_date if default and is_declared else None
    )
    for name in params.OTHERS:  # of the portal and the nights, no setting of a run
        settings.pop(name, None)
    settings["release"] |= {
        "id": request.release_id,
        "dataset": request.dataset,
        "source": places.resolved(str(source)),
        "source_label": label,
        "data_id": uuid.uuid4().hex,
        "extract_date": extract_date.isoformat() if extract_date else None,
    }
    if request.rows is not None:
        settings["release"]["rows"] = request.rows
    if request.cohorts:
        settings["release"]["cohorts"] = sorted(set(request.cohorts))
    if request.approval == A_PERSON:
        settings["approve"]["self_approve"] = False
    if request.epsilon is not None:
        settings["privacy"]["epsilon"] = float(request.epsilon)
    return settings


def _build(
    home: Home,
    workspace: Workspace,
    settings: Mapping[str, Any],
    resolved: dict[str, Any],
    request: Request,
) -> None:
    files.private_folder(home.runs)
    with files.replacing_folder(workspace.root, foreign=files.everything) as folder:
        temporary = Workspace(folder)
        version_stores.clone(home.restricted_store, folder, branch=workspace.root.name)
        shutil.copyfile(project_root() / "dvc.yaml", temporary.dvc_yaml)
        document.dump(resolved, temporary.dataset)
        files.write_text(temporary.root / ".gitignore", IGNORED)
        dump_params(settings, temporary.params)
        files.write_json(
            temporary.restricted.run, {"owner": request.owner, "asked_by": request.asked_by}
        )
        version_stores.commit_all(folder, f"{workspace.root.name} begins")


def dump_params(settings: Mapping[str, Any], path: Path) -> None:
    with files.replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        YAML().dump(dict(settings), file)


def _refuse_used(home: Home, release_id: str, population: str) -> None:
    """Raises Refusal where the id has a release, a charge or a run already, but no workspace."""
    other = "choose another id"
    if version_stores.is_tagged(home.released_store, release_id):
        raise Refusal(f"release id {release_id} is published already; {other}")
    if release_id in Ledger(home.ledger).charged_releases(population):
        raise Refusal(
            f"release id {release_id} is in the ledger already, and its workspace is gone; {other}"
        )
    if release_id in version_stores.branches(home.restricted_store):
        raise Refusal(
            f"release id {release_id} was used by an earlier run, whose workspace is gone; {other}"
        )


def _refuse_other_settings(
    workspace: Workspace, settings: Mapping[str, Any], resolved: Mapping[str, Any]
) -> None:
    name = workspace.root.name
    earlier = YAML(typ="safe").load(workspace.params.read_text(encoding="utf-8"))
    if differing := _differing(earlier, settings):
        raise Refusal(
            f"release id {name} was used before with other settings ({'; '.join(differing)});"
            " choose another id"
        )
    if document.read(workspace.dataset).value != resolved:
        raise Refusal(
            f"release id {name} was used before with another declaration of the dataset; choose"
            " another id"
        )


def _differing(earlier: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    """The settings that differ, as `block.key: held, asked`. The random data id never counts, nor
    what changes nothing about a release.
    """
    was, now = (_flat(settings) for settings in (earlier, requested))
    return [f"{name}: {was[name]} then, {now[name]} now" for name in now if was[name] != now[name]]


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """{block.key: value}, with the default where an older file lacks a key."""
    blocks = asdict(params.from_mapping(settings))
    return {
        f"{block}.{key}": value
        for block, values in blocks.items()
        if block != "schedule"
        for key, value in values.items()
        if key not in ("data_id", "airflow_users") and not key.startswith("warn_")
    }


def _refuse_published(home: Home, request: Request, workspace: Workspace) -> None:
    """A published id may be asked for again to finish what a crash left, or by the run that
    published it (a retry); else not.
    """
    is_complete = workspace.restricted.complete.exists()
    if not is_complete or not version_stores.is_tagged(home.released_store, request.release_id):
        return
    owner = files.read_json(workspace.restricted.run, {}).get("owner")
    if owner is None or owner != request.owner:
        raise Refusal(f"release id {request.release_id} is published already; choose another id")
