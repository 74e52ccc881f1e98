"""This home's mirrors of version stores that lie elsewhere: bare repositories in the places of the
stores that one host has, with the store as their remote.

A mirror is read as the store itself would be, and never written to by us: what is pushed goes to
the store. Errors of git are no refusals, so a task that they stop is tried again.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import files
from pipeline.catalog import Home
from pipeline.refusal import Refusal, Unavailable
from pipeline.runs.programs import Remote, begin_tree, commit_all, git

ZONES = ("restricted", "released")
_MARK = "syndasera.mirrors"  # in the settings of a mirror: the store's URL
_EVERYTHING = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


def ensure(home: Home) -> None:
    """Makes the mirrors, and the first commit of a store that is empty. Idempotent.

    Raises Refusal where this home has a store of its own in the place, or a mirror of another one.
    """
    for zone in ZONES:
        mirror = home.restricted_store if zone == "restricted" else home.released_store
        url = str(getattr(home.deployment.stores, zone))
        with _alone(home.state):
            if url_of(mirror) != url:
                _make(mirror, url, zone)
        if not _has_main(mirror):
            update(mirror)
        if not _has_main(mirror):
            _begin(home, zone, url)
            update(mirror)


def remote_of(home: Home, zone: str) -> Remote:
    """The remote of the zone "restricted" or "released"."""
    remotes = home.deployment.remotes
    if url := getattr(remotes, zone):
        return Remote(url, remotes.endpoint if "://" in url else None)
    path = home.restricted_remote if zone == "restricted" else home.released_remote
    return Remote(str(path.resolve()))


def update(store: Path) -> None:
    """Brings a mirror up to date; a store of one host is up to date by itself. Raises Unavailable
    where the store does not answer.
    """
    if (url := url_of(store)) is None:
        return
    with _alone(store):
        try:
            git("fetch", "-q", "origin", *_EVERYTHING, cwd=store)
        except RuntimeError as error:
            raise Unavailable(
                f"the version store {url} does not answer ({error}); it is tried again. `python -m"
                " pipeline deployment check` asks every place"
            ) from error


def url_of(store: Path) -> str | None:
    """Which store a repository mirrors; None where it is no mirror of ours, or not there. A clone
    that somebody keeps has a remote, too, and is never brought up to date here: a transparency log
    is compared with what was kept.
    """
    config = store / "config"
    if not config.is_file() or "[syndasera]" not in config.read_text(encoding="utf-8"):
        return None
    return git("config", "--get", _MARK, cwd=store)


def _make(mirror: Path, url: str, zone: str) -> None:
    if mirror.is_dir():
        raise Refusal(
            f"{mirror.parent.name}/{mirror.name} is no mirror of {url}, the {zone} version store:"
            f" push all its branches and tags there (`git push --mirror {url}`), copy its DVC"
            " remote, and move it away"
        )
    files.private_folder(mirror.parent) if zone == "restricted" else mirror.parent.mkdir(
        parents=True, exist_ok=True
    )
    with files.replacing_folder(mirror, foreign=files.everything) as folder:
        git("init", "-q", "--bare", "-b", "main", cwd=folder)
        git("remote", "add", "origin", url, cwd=folder)
        git("config", _MARK, url, cwd=folder)


def _begin(home: Home, zone: str, url: str) -> None:
    """The first commit of an empty store. Where another host's was there first, its holds."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        begin_tree(tree, "main", zone, remote_of(home, zone))
        # without a clock: two hosts that begin at once make the same commit
        commit_all(tree, f"The {zone} version store begins", has_clock=False)
        git("push", "-q", url, "main:main", cwd=tree)


def _has_main(mirror: Path) -> bool:
    return bool(git("for-each-ref", "refs/heads/main", cwd=mirror))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process of this host at a time makes a mirror, or writes to one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "mirror.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
