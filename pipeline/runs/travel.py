"""How the workspace of a run travels between hosts: what a command needs is here before it begins,
and what it left is in the stores before another host goes on.

By git go dvc.lock and the settings, by DVC the outputs of stages, and by the checkpoint store what
neither tracks: answers, notes, who asked. On one host nothing of this happens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline import files, params
from pipeline.catalog import Home, Release, Workspace
from pipeline.refusal import Refusal, Unavailable
from pipeline.runs import locks, released_trees, stage_lock, version_stores
from pipeline.runs.object_store import ObjectStore, checkpoint_store
from pipeline.runs.programs import commit_all, dvc, git

# What stages read besides the dependencies that dvc.yaml names; of commands that are no stages,
# all that they read.
_READ: dict[str, tuple[str, ...]] = {
    "publish": (
        *("released/synthetic", "restricted/report", "restricted/reservation.json"),
        *("restricted/tape.json", "restricted/validation"),
    ),
    "reserve": ("restricted/data",),  # whose rows ingest read
    "needs-approval": ("restricted/report", "restricted/reservation.json"),
    "account": ("restricted/data",),
    "gate": ("released/synthetic", "released/extract"),
}


@contextmanager
def visiting(home: Home, release_id: str, command: str) -> Iterator[Workspace]:
    """The workspace, here and with what `command` reads; what the block left in it is in the stores
    afterwards, however the block ended. Nobody visits it on another host meanwhile.

    command: a stage, or a command of `_READ`. Raises Refusal where no such run was prepared;
    Unavailable where the lock was lost in the block: another host may have written newer state.
    """
    workspace = home.workspace(release_id)
    if not home.deployment.is_shared:
        yield workspace
        return
    with locks.across_hosts(home, f"the run {release_id}") as is_held:
        with _no_stage_left(workspace):
            arrive(home, workspace, command)
        try:
            yield workspace
        finally:
            _send_state(home, workspace, is_held)


@contextmanager
def _no_stage_left(workspace: Workspace) -> Iterator[None]:
    """A stage that lost its parent on this host, and with it the lock across hosts, has ended."""
    if not workspace.params.is_file():
        yield
        return
    with stage_lock.alone(workspace):
        yield


@contextmanager
def preparing(home: Home, release_id: str) -> Iterator[None]:
    """The workspace is here, if another host made it, while the block makes it or finds it made;
    afterwards every host finds it.
    """
    if not home.deployment.is_shared:
        yield
        return
    workspace = home.workspace(release_id)
    version_stores.reach(home)
    with locks.across_hosts(home, f"the run {release_id}") as is_held:
        if release_id in version_stores.branches(home.restricted_store):
            arrive(home, workspace, "")
        yield
        _send_state(home, workspace, is_held)
        _push(workspace)


def arrive(home: Home, workspace: Workspace, command: str) -> None:
    """The run's branch, its state and what `command` reads are here when this returns. On one host
    they are.
    """
    if not home.deployment.is_shared:
        return
    version_stores.reach(home)
    name = workspace.root.name
    if name not in version_stores.branches(home.restricted_store):
        raise Refusal(
            f"no run {name} was prepared: there is no such branch in the restricted store"
        )
    if not workspace.params.is_file():
        files.private_folder(home.runs)
        with files.replacing_folder(workspace.root, foreign=files.everything) as folder:
            version_stores.clone(home.restricted_store, folder)
            git("checkout", "-q", "-B", name, f"origin/{name}", cwd=folder)
    else:
        git("fetch", "-q", str(home.restricted_store.resolve()), name, cwd=workspace.root)
        git("reset", "-q", "--hard", "FETCH_HEAD", cwd=workspace.root)
    _fetch_state(home, workspace)
    _fetch_model(home, workspace)
    if outputs := _outputs_for(workspace, command):
        dvc("pull", "--quiet", "--force", "--remote", "restricted", *outputs, cwd=workspace.root)


def record(home: Home, workspace: Workspace, stage: str) -> None:
    """The stage's outputs and its entry in dvc.lock are in the stores when this returns. Data
    first: nobody finds an entry without its objects.
    """
    commit_all(workspace.root, f"{stage} of {workspace.root.name}")
    if outputs := _locked_outputs(workspace) & set(_stages(workspace)[stage].get("outs", ())):
        dvc("push", "--quiet", "--remote", "restricted", *sorted(outputs), cwd=workspace.root)
    _push(workspace)


def send(home: Home, workspace: Workspace, path: Path) -> None:
    """A file of the run's state is in the checkpoint store when this returns: an answer, before
    anything follows from it.
    """
    if home.deployment.is_shared:
        _put(checkpoint_store(home), workspace, path)


def _push(workspace: Workspace) -> None:
    """Without force: a host that was left behind pushes nothing over what came after it."""
    branch = f"HEAD:refs/heads/{workspace.root.name}"
    git("push", "-q", "origin", branch, cwd=workspace.root)


def _outputs_for(workspace: Workspace, command: str) -> list[str]:
    """What the command reads of the outputs that there are."""
    stage = _stages(workspace).get(command, {})
    reads = {*stage.get("deps", ()), *_READ.get(command, ())}
    return sorted(reads & _locked_outputs(workspace))


def _stages(workspace: Workspace) -> dict[str, Any]:
    value = YAML(typ="safe").load(workspace.dvc_yaml.read_text(encoding="utf-8"))
    stages: dict[str, Any] = value["stages"]
    return stages


def _locked_outputs(workspace: Workspace) -> set[str]:
    """The outputs that dvc.lock knows."""
    lock = workspace.root / "dvc.lock"
    if not lock.is_file():
        return set()
    stages = (YAML(typ="safe").load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    return {out["path"] for stage in stages.values() for out in stage.get("outs", ())}


def _fetch_model(home: Home, workspace: Workspace) -> None:
    """Of a run that draws: the published model, which no stage of it made."""
    release = params.load(workspace.params).release
    if release.drawn_from is None or workspace.released.model.is_dir():
        return
    folder, _ = released_trees.find(home, release.drawn_from)
    model = Release(Path(folder)).model
    released_trees.get(home, release.drawn_from, model, workspace.released.model)


def _state(workspace: Workspace) -> list[Path]:
    """What neither git nor DVC tracks and other hosts need."""
    restricted = workspace.restricted
    single = (
        *(restricted.run, restricted.confirmations, restricted.answers, restricted.reasons),
        *(restricted.stages, restricted.budget, workspace.tracking, restricted.complete),
    )
    folders: Collection[Path] = (restricted.errors, restricted.gate.root)
    inside = (path for folder in folders for path in folder.rglob("*"))
    of_draws = (
        () if "restricted/approval.json" in _locked_outputs(workspace) else (restricted.approval,)
    )
    return sorted(path for path in (*single, *of_draws, *inside) if path.is_file())


def _send_state(home: Home, workspace: Workspace, is_held: Callable[[], bool]) -> None:
    """Raises Unavailable where the run's lock was lost: another host may have written newer state.
    That it is lost between the question and the last write is not found out.
    """
    if not is_held():
        raise Unavailable(
            f"the connection that locks the run {workspace.root.name} was lost: its state here is"
            " not kept, for another host may have gone on with it. Try again"
        )
    if not workspace.params.is_file():
        return
    store = checkpoint_store(home)
    for path in _state(workspace):
        _put(store, workspace, path)


def _put(store: ObjectStore, workspace: Workspace, path: Path) -> None:
    name, content = f"{_prefix(workspace)}{path.relative_to(workspace.root)}", path.read_bytes()
    if store.get(name) != content:
        store.put(name, content)


def _fetch_state(home: Home, workspace: Workspace) -> None:
    store = checkpoint_store(home)
    for name in store.names(_prefix(workspace)):
        path = workspace.root / name.removeprefix(_prefix(workspace))
        content = store.get(name)
        if content is not None and not (path.is_file() and path.read_bytes() == content):
            with files.replacing(path) as temporary:
                temporary.write_bytes(content)


def _prefix(workspace: Workspace) -> str:
    return f"{workspace.root.name}/state/"
