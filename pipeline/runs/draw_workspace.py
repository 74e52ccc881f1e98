"""Makes the workspace of a draw: a new extract from the model of a published release, fetched from
the released version store.

Nothing of the restricted zone is opened and nothing is charged: the model was paid for when it was
released.
"""

from __future__ import annotations

import shutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline import files, params
from pipeline.catalog import Home, Release, Workspace, project_root
from pipeline.draw_plan import DrawPlan, plan_of
from pipeline.plan_slices import check_plan
from pipeline.refusal import Refusal
from pipeline.runs import released_trees, travel, version_stores
from pipeline.runs.workspace import IGNORED, dump_params
from pipeline.schema.reader import read_schema


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for: `rows` synthetic patients from the model of `model_of`, as release
    `release_id`.
    """

    model_of: str
    release_id: str
    rows: int | None = None
    plan: DrawPlan = field(default_factory=DrawPlan)  # asks for nothing: the one of params.yaml
    owner: str | None = None
    asked_by: str | None = None


def make(home: Home, request: Request) -> Workspace:
    """Makes the workspace, or finds it made by the same request. Raises Refusal where there is
    no such release or the id was used.
    """
    params.check_release_id(request.model_of, "the release to draw from")
    params.check_release_id(request.release_id)
    with travel.preparing(home, request.release_id):
        return _make(home, request)


def _make(home: Home, request: Request) -> Workspace:
    if not version_stores.is_tagged(home.released_store, request.model_of):
        raise Refusal(f"there is no release {request.model_of} in the released version store")
    folder, manifest = released_trees.find(home, request.model_of)
    card = released_trees.show(home, request.model_of, Release(Path(folder)).card)
    settings = _settings(home, request, manifest, card.get("extract_date"))
    params.from_mapping(settings)
    workspace = home.workspace(request.release_id)
    if workspace.params.is_file():
        if _what(params.load(workspace.params)) != _what(params.from_mapping(settings)):
            raise Refusal(
                f"release id {request.release_id} was used before for something else; choose"
                " another id"
            )
        if (
            version_stores.is_tagged(home.released_store, request.release_id)
            and _owner(workspace) != request.owner
        ):
            raise Refusal(
                f"release id {request.release_id} is published already; choose another id"
            )
        return workspace
    if version_stores.is_tagged(home.released_store, request.release_id):
        raise Refusal(f"release id {request.release_id} is published already; choose another id")
    if request.release_id in version_stores.branches(home.restricted_store):
        raise Refusal(
            f"release id {request.release_id} was used by an earlier run, whose workspace is gone;"
            " choose another id"
        )
    _build(home, workspace, request, folder, settings, manifest)
    return workspace


def _what(settings: params.Params) -> tuple[str | None, int, DrawPlan]:
    """What a request is told by."""
    return (
        settings.release.drawn_from,
        settings.release.rows,
        plan_of(settings.draw.plan, "draw.plan"),
    )


def _settings(
    home: Home, request: Request, manifest: dict[str, Any], extract_date: str | None
) -> dict[str, Any]:
    settings: dict[str, Any] = YAML(typ="safe").load(home.params.read_text(encoding="utf-8"))
    for name in params.OTHERS:  # of the portal and the nights, no setting of a run
        settings.pop(name, None)
    settings["release"] |= {
        "id": request.release_id,
        "dataset": manifest["dataset"],
        "source": None,
        "source_label": manifest["source_label"],
        "data_id": manifest["data_id"],
        "extract_date": extract_date,
        "drawn_from": manifest.get("drawn_from") or request.model_of,
    }
    if request.rows is not None:
        settings["release"]["rows"] = request.rows
    if request.plan:
        settings["draw"] = {"plan": request.plan.to_json()}
    # another public seed: the same would draw the same patients
    settings["sample"]["seed"] = zlib.crc32(request.release_id.encode())
    return settings


def _build(
    home: Home,
    workspace: Workspace,
    request: Request,
    folder: str,
    settings: dict[str, Any],
    manifest: dict[str, Any],
) -> None:
    files.private_folder(home.runs)
    source = Release(Path(folder))
    with files.replacing_folder(workspace.root, foreign=files.everything) as root:
        temporary = Workspace(root)
        version_stores.begin_draw(home, root, workspace.root.name)
        temporary.released.root.mkdir()
        for path, target in (
            (source.model, temporary.released.model),
            (source.dataset, temporary.dataset),
        ):
            released_trees.get(home, request.model_of, path, target)
        shutil.copyfile(project_root() / "dvc.yaml", temporary.dvc_yaml)
        files.write_text(root / ".gitignore", IGNORED)
        dump_params(settings, temporary.params)
        files.write_json(
            temporary.restricted.run, {"owner": request.owner, "asked_by": request.asked_by}
        )
        files.write_json(
            temporary.restricted.approval,
            {
                "release_id": request.release_id,
                "approved": True,
                "by": f"the release of {request.model_of}",
                "self_approved": manifest.get("self_approved", False),
            },
        )
        check_plan(read_schema(temporary.dataset), _what(params.from_mapping(settings))[-1])
        version_stores.commit_all(root, f"{workspace.root.name} begins")


def _owner(workspace: Workspace) -> str | None:
    owner: str | None = (files.read_json(workspace.restricted.run) or {}).get("owner")
    return owner
