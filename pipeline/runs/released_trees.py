"""Published releases in the released version store, read from their tags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import Home, Release
from pipeline.refusal import Refusal
from pipeline.runs import version_stores
from pipeline.runs.programs import dvc, git


def find(home: Home, release_id: str) -> tuple[str, dict[str, Any]]:
    """Folder and manifest of a release in its tag: the tree of a tag holds the last release of
    every dataset.
    """
    tree = git("ls-tree", "-d", "--name-only", release_id, cwd=home.released_store).split()
    for folder in tree:
        if folder.startswith("."):
            continue
        manifest = show(home, release_id, Release(Path(folder)).manifest)
        if manifest["release_id"] == release_id:
            return folder, manifest
    raise Refusal(
        f"the tag {release_id} of the released version store holds no release of that name"
    )


def show(home: Home, release_id: str, path: Path) -> dict[str, Any]:
    """A JSON file of the tag's tree."""
    value: dict[str, Any] = json.loads(git("show", f"{release_id}:{path}", cwd=home.released_store))
    return value


def get(home: Home, release_id: str, path: Path, target: Path) -> None:
    """A file or folder of the tag, with what DVC keeps of it, at `target`, which must not be
    there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    store = str(home.released_store.resolve())
    names = ("--rev", release_id, "--out", target.name, store, str(path))
    dvc("get", "--quiet", *names, cwd=target.parent)


def fetch(home: Home, release_id: str, target: Path) -> None:
    """The whole release as it was published, in place of `target`."""
    folder, _ = find(home, release_id)
    with files.replacing_folder(target) as out:
        get(home, release_id, Path(folder), out / "release")
        for own in (out / "release" / ".gitignore", *(out / "release").glob("*.dvc")):
            own.unlink(missing_ok=True)  # git's and DVC's, no part of the release
        for path in (out / "release").iterdir():
            path.rename(out / path.name)
        (out / "release").rmdir()


def copy_here(home: Home, release_id: str) -> bool:
    """The plain copy of a release that another host published is here when this returns; whether
    there is one. On one host nothing is fetched.
    """
    version_stores.reach(home)
    copy = home.release(release_id)
    if copy.manifest.is_file() or not home.deployment.is_shared:
        return copy.manifest.is_file()
    if not version_stores.is_tagged(home.released_store, release_id):
        return False
    fetch(home, release_id, copy.root)
    files.open_to_readers(home.released)
    return True


def tags(home: Home) -> list[str]:
    """The ids of all published releases."""
    version_stores.reach(home)
    return version_stores.tags(home.released_store)
