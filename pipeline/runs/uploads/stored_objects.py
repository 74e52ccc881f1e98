"""What the restricted version store keeps of the runs of an upload: objects by the hash of their
content.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import files
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.runs import version_stores
from pipeline.runs.uploads.address import is_upload

WITH_ROWS = frozenset(("restricted/data",))  # outputs of stages (dvc.yaml) that hold rows
_OBJECTS = "files/md5"  # of a cache or a remote of DVC
_LOCK, _PARAMS = "dvc.lock", "params.yaml"
_FOLDER = ".dir"  # end of the hash of a folder: the object lists the folder's files


def runs_of(home: Home, address: str) -> list[str]:
    """The release ids of every run of a source, by their settings and by what ingest noted, in case
    somebody changed the settings since: of workspaces, and of branches whose workspace is gone.
    """
    return sorted(name for name, sources in _sources(home).items() if address in sources)


def runs_of_uploads(home: Home) -> list[str]:
    """The release ids of every run whose source is an upload, whichever."""
    return sorted(name for name, sources in _sources(home).items() if any(map(is_upload, sources)))


def _sources(home: Home) -> dict[str, set[str]]:
    """Of each run: where its settings say that its rows are, and where ingest read them."""
    texts = {path.parent.name: path.read_text("utf-8") for path in home.runs.glob(f"*/{_PARAMS}")}
    for branch in version_stores.branches(home.restricted_store):
        if branch not in texts and (text := _content(home, branch, _PARAMS)) is not None:
            texts[branch] = text
    return {
        name: {source for source in (_source_in(text), _source_read(home, name)) if source}
        for name, text in texts.items()
    }


def row_objects(home: Home, runs: Collection[str]) -> set[Path]:
    """The objects of the restricted remote that hold rows of these runs and of no other."""
    if not runs:
        return set()
    rows, others = _digests(home, runs)
    return {_object(home.restricted_remote / _OBJECTS, digest) for digest in rows - others}


def unnamed_objects(home: Home) -> list[Path]:
    """The objects of the restricted remote that no commit of any branch names, nor any workspace.

    Raises Refusal where a workspace's dvc.lock cannot be read: what it names is unknown.
    """
    for path in home.runs.glob(f"[!.]*/{_LOCK}"):
        if not _yaml(path.read_text("utf-8")):
            raise Refusal(f"runs/{path.parent.name}/{_LOCK} cannot be read: no object is removed")
    _, named = _digests(home, ())
    remote = home.restricted_remote / _OBJECTS
    present = sorted(path for path in remote.glob("??/*") if path.is_file())
    return [path for path in present if path.parent.name + path.name not in named]


def _digests(home: Home, runs: Iterable[str]) -> tuple[set[str], set[str]]:
    """(digests of rows of these runs, digests of everything else that any run names)."""
    ours = set(runs)
    # a push that was cut leaves files there without the list of them, which is in the run's cache
    remote = home.restricted_remote / _OBJECTS
    stores = [remote, *sorted(home.runs.glob(f"*/.dvc/cache/{_OBJECTS}"))]
    rows: set[str] = set()
    others: set[str] = set()
    branches = version_stores.branches(home.restricted_store)
    for name in branches | {path.parent.name for path in home.runs.glob(f"*/{_LOCK}")}:
        for path, digest in _outputs(home, name, name in branches):
            is_ours = name in ours and path in WITH_ROWS
            (rows if is_ours else others).update(_with_members(digest, stores))
    return rows, others


def remove_rows(home: Home, runs: Iterable[str]) -> tuple[int, int]:
    """Removes the objects of the restricted remote that hold rows of these runs. Returns how many
    were removed, and how many are left because another run has the same content.
    """
    rows, others = _digests(home, runs)
    remote = home.restricted_remote / _OBJECTS
    n_removed = 0
    # a list of a folder's files goes last: a killed attempt must find them again
    for digest in sorted(rows - others, key=lambda one: one.endswith(_FOLDER)):
        place = _object(remote, digest)
        if place.is_file():
            place.unlink()
            n_removed += 1
    return n_removed, len(rows & others)


def _object(store: Path, digest: str) -> Path:
    return store / digest[:2] / digest[2:]


def _with_members(digest: str, stores: list[Path]) -> Iterator[str]:
    """The hash of an output; of a folder, those of its files as well."""
    yield digest
    if not digest.endswith(_FOLDER):
        return
    for store in stores:
        path = _object(store, digest)
        if path.is_file():
            yield from (entry["md5"] for entry in json.loads(path.read_text("utf-8")))
            return


def _outputs(home: Home, name: str, has_branch: bool) -> Iterator[tuple[str, str]]:
    """(path, hash) of every output that a run ever noted: in its workspace, and in each commit of
    its branch, where it has one.
    """
    here = home.workspace(name).root / _LOCK
    if here.is_file():
        yield from _in_lock(here.read_text("utf-8"))
    if not has_branch:
        return
    commits = version_stores.git("log", "--format=%H", name, "--", _LOCK, cwd=home.restricted_store)
    for commit in commits.split():
        if (text := _content(home, commit, _LOCK)) is not None:
            yield from _in_lock(text)


@lru_cache(maxsize=1000)  # the same text is in many commits
def _in_lock(text: str) -> tuple[tuple[str, str], ...]:
    """(path, hash) of every output that a dvc.lock names."""
    stages = _yaml(text).get("stages", {}).values()
    return tuple((out["path"], out["md5"]) for stage in stages for out in stage.get("outs", ()))


def _content(home: Home, revision: str, path: str) -> str | None:
    """A file in a revision of the restricted version store; None where it has none."""
    try:
        return version_stores.git("show", f"{revision}:{path}", cwd=home.restricted_store)
    except RuntimeError:
        return None


def _source_in(text: str) -> str | None:
    release = _yaml(text).get("release")
    return release.get("source") if isinstance(release, dict) else None


def _source_read(home: Home, name: str) -> str | None:
    """Where the rows of a run were read from, as ingest noted it (ingest/origin.py)."""
    report = files.read_json(home.workspace(name).restricted.ingest_report) or {}
    source = report.get("origin", {}).get("source")
    return None if source is None else str(source)


def _yaml(text: str) -> Mapping[str, Any]:
    """Of a file that a kill left half written: nothing."""
    try:
        value = YAML(typ="safe").load(text)
    except YAMLError:
        return {}
    return value if isinstance(value, dict) else {}
