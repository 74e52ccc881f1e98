"""The two version stores: bare git repositories with DVC, one per zone, each with a DVC remote of
its own.

The restricted one holds dvc.lock of every run (hashes and sizes of patients' tables). The released
one holds one commit and tag per published release, and nothing else; anybody may `dvc get` from it.

For several hosts the stores are elsewhere (deployment.yaml): then each home has a mirror of both in
their places, brought up to date before it is read, and what is pushed goes to the stores
themselves.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pipeline import files
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.runs import mirrors
from pipeline.runs.mirrors import remote_of
from pipeline.runs.programs import (
    MOMENT,
    Remote,
    begin_tree,
    commit_all,
    dvc,
    git,
    mend_lock,
    write_dvc_config,
)

__all__ = ["MOMENT", "commit_all", "dvc", "git", "mend_lock"]


def ensure(home: Home) -> None:
    """Makes both version stores and remotes where they are missing; the restricted ones for their
    owner only. Idempotent.
    """
    if home.deployment.is_shared:
        mirrors.ensure(home)
        return
    stores = (home.restricted_store, home.released_store)
    if url := next(filter(None, map(mirrors.url_of, stores)), None):
        raise Refusal(
            f"this home is one of several hosts (it mirrors {url}), and deployment.yaml is missing:"
            " it would make a ledger and keys of its own. Put the file back. Nothing was written"
        )
    if not all(store.is_dir() for store in stores):
        _refuse_other_place(home)
    files.private_folder(home.restricted_store.parent)
    _ensure_one(home.restricted_store, "restricted", home.restricted_remote)
    _ensure_one(home.released_store, "released", home.released_remote)


def reach(home: Home) -> None:
    """The mirrors of stores that are elsewhere are there when this returns. On one host nothing is
    made.
    """
    if home.deployment.is_shared:
        mirrors.ensure(home)


def is_tagged(store: Path, tag: str) -> bool:
    """Whether a version store holds this tag. False where there is no store yet."""
    return tag in tags(store)


def tags(store: Path) -> list[str]:
    """Of the released store, the ids of every release. None where there is no store yet."""
    mirrors.update(store)
    return git("tag", "--list", cwd=store).split() if store.is_dir() else []


def text_at(store: Path, revision: str, path: str) -> str | None:
    """What a file holds there, but for blanks at its end; None where there is none. A mirror is
    read as it is.
    """
    if not git("ls-tree", "--name-only", revision, "--", path, cwd=store):
        return None
    return git("show", f"{revision}:{path}", cwd=store)


def tag_messages(store: Path) -> dict[str, str]:
    """{tag: what it says}, of a store; empty where there is none yet."""
    mirrors.update(store)
    if not store.is_dir():
        return {}
    lines = git("tag", "--list", "--format=%(refname:short) %(contents:subject)", cwd=store)
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines.splitlines()}


def head(store: Path) -> str:
    """The newest commit of a store's main line; empty where there is no store yet."""
    mirrors.update(store)
    return git("rev-parse", "main", cwd=store) if store.is_dir() else ""


def branches(store: Path) -> set[str]:
    """Those of a version store; none where there is no store yet."""
    mirrors.update(store)
    if not store.is_dir():
        return set()
    return set(git("for-each-ref", "--format=%(refname:short)", "refs/heads", cwd=store).split())


def bundle(store: Path, file: Path) -> None:
    """All branches and tags of a store, as they are at a moment, in one file."""
    git("bundle", "create", "-q", str(file.absolute()), "--branches", "--tags", cwd=store)


def unbundle(file: Path, store: Path) -> None:
    """A bare store as it was when the file was made. Raises RuntimeError for a damaged file."""
    store.mkdir(parents=True)
    git("init", "-q", "--bare", "-b", "main", ".", cwd=store)
    git("fetch", "-q", "--no-write-fetch-head", str(file.absolute()), "+refs/*:refs/*", cwd=store)


def clone(store: Path, target: Path, branch: str | None = None) -> None:
    """Clones into `target`, which must not exist or be empty; on a branch of its own where `branch`
    names one. What the clone pushes goes to the store itself where `store` is a mirror.
    """
    mirrors.update(store)
    target.parent.mkdir(parents=True, exist_ok=True)
    git("clone", "-q", str(store.resolve()), str(target), cwd=target.parent)
    if url := mirrors.url_of(store):
        git("remote", "set-url", "origin", url, cwd=target)
    if branch is not None:
        git("checkout", "-q", "-B", branch, cwd=target)


def begin_draw(home: Home, target: Path, branch: str) -> None:
    """A tree in `target`, which must not exist or be empty, that pushes to the restricted version
    store and holds nothing of it: no run's hashes.
    """
    begin_tree(target, branch, "restricted", remote_of(home, "restricted"))
    origin = home.deployment.stores.restricted or str(home.restricted_store.resolve())
    git("remote", "add", "origin", origin, cwd=target)


def share_objects(tree: Path) -> None:
    """Lets files in a tree that is thrown away and DVC's own copies of them be the same files: of
    an extract of millions of patients each copy is gigabytes.
    """
    (tree / ".dvc" / "config.local").write_text(
        "[cache]\n    type = hardlink,copy\n", encoding="utf-8"
    )


def _refuse_other_place(home: Home) -> None:
    """Raises Refusal where DVC would not find a remote by its path, before anything is written in
    the home.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for zone in ("restricted", "released"):
            write_dvc_config(Path(scratch), zone, remote_of(home, zone))


def _ensure_one(store: Path, zone: str, remote: Path) -> None:
    remote.mkdir(parents=True, exist_ok=True)
    if store.is_dir():
        return
    store.parent.mkdir(parents=True, exist_ok=True)
    # on one file system, so that the move is one step
    with tempfile.TemporaryDirectory(dir=store.parent) as scratch:
        tree, bare = Path(scratch) / "tree", Path(scratch) / "registry.git"
        begin_tree(tree, "main", zone, Remote(str(remote.resolve())))
        commit_all(tree, f"The {zone} version store begins", has_clock=zone == "restricted")
        git("clone", "-q", "--bare", str(tree), str(bare), cwd=Path(scratch))
        git("remote", "remove", "origin", cwd=bare)
        shutil.move(bare, store)
