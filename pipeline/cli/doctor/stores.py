"""Of the two version stores, the objects of the newest releases, and the plain copies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.catalog import Home
from pipeline.cli.doctor.questions import Fault, Question
from pipeline.released import released_log
from pipeline.runs import version_stores

NEWEST = 3  # releases whose objects are looked for
_HASH = re.compile(r"\bmd5: ([0-9a-f]{32}(?:\.dir)?)\s")


def restricted(home: Home) -> Iterator[Fault]:
    """git finds every commit and its files."""
    yield from _broken(home, "restricted", "the lineage of past runs")


def released(home: Home) -> Iterator[Fault]:
    """As of the restricted one."""
    yield from _broken(home, "released", "the releases")


def _broken(home: Home, zone: str, what: str) -> Iterator[Fault]:
    store = home.restricted_store if zone == "restricted" else home.released_store
    remote = home.restricted_remote if zone == "restricted" else home.released_remote
    place = f"state/{store.parent.name}/{store.name}"
    if home.deployment.is_shared:
        yield from _broken_mirror(home, store, zone, place)
        return
    if not store.is_dir():
        if remote.is_dir():
            yield Fault(f"{place} is gone, and with it {what}: restore it from the backup")
        return
    try:
        version_stores.git("fsck", "--connectivity-only", "--no-dangling", cwd=store)
    except RuntimeError as error:
        yield Fault(f"{place} is damaged ({error}): restore it from the backup")
    if not remote.is_dir():
        yield Fault(f"state/{remote.parent.name}/{remote.name} is gone: restore it from the backup")


def _broken_mirror(home: Home, store: Path, zone: str, place: str) -> Iterator[Fault]:
    """The store is elsewhere, and so is its remote: what lies here is made anew from it. Raises
    Unavailable where the store does not answer.
    """
    version_stores.reach(home)
    version_stores.branches(store)
    try:
        version_stores.git("fsck", "--connectivity-only", "--no-dangling", cwd=store)
    except RuntimeError as error:
        url = getattr(home.deployment.stores, zone)
        yield Fault(f"{place}, the mirror of {url}, is damaged ({error}): remove it, it comes anew")


def objects(home: Home) -> Iterator[Fault]:
    """What the tags of the newest releases name lies in the remote. One that is elsewhere is not
    looked into.
    """
    if home.deployment.is_shared:
        return
    for tag in _newest(home):
        missing = [one for one in _hashes(home, tag) if not _object(home, one).is_file()]
        if missing:
            yield Fault(
                f"{tag}: {len(missing)} of its objects are missing in state/released/dvc-remote,"
                f" so nobody can fetch it: restore them from the backup, or run `dvc push` in"
                f" runs/{tag}"
            )


def copies(home: Home) -> Iterator[Fault]:
    """Every release has its plain copy, and every plain copy is of a release. Of several hosts each
    has the copies that were fetched there.
    """
    ids = set(version_stores.tags(home.released_store))
    folders = {path.name for path in home.published.glob("[!.]*")}
    whole = {one for one in folders if home.release(one).manifest.is_file()}
    for name in sorted(() if home.deployment.is_shared else ids - whole):
        yield Fault(
            f"{name} is tagged and has no whole copy in state/released/extracts: clear the task"
            f" publish in Airflow (or `dvc repro --single-item publish` in runs/{name}), or restore"
            " it from the backup"
        )
    for name in sorted(folders - ids):
        yield Fault(
            f"state/released/extracts/{name} is no release of the version store: move it away, or"
            " restore state/released/registry.git from the backup"
        )


def log(home: Home) -> Iterator[Fault]:
    """The transparency log only grew, and every release has its line there."""
    for fault in released_log.store_faults(home.released_store):
        yield Fault(
            f"{fault}: restore state/released/registry.git from the backup, or from the host that"
            " published last (docs/auditing.md)"
        )


def _newest(home: Home) -> list[str]:
    """By their place in the history: what is committed there bears no time."""
    if not home.released_store.is_dir():
        return []
    lines = version_stores.git(
        "log", f"--max-count={NEWEST}", "--format=%D", "main", cwd=home.released_store
    ).splitlines()
    return [name for line in lines for name in re.findall(r"tag: ([^,\s]+)", line)]


def _hashes(home: Home, tag: str) -> Iterator[str]:
    """Of all that a tag names, and of the files in its folders."""
    store = home.released_store
    for path in version_stores.git("ls-tree", "-r", "--name-only", tag, cwd=store).splitlines():
        if not path.endswith(".dvc"):
            continue
        text = version_stores.git("show", f"{tag}:{path}", cwd=store)
        for name in _HASH.findall(f"{text}\n"):
            yield name
            if name.endswith(".dir") and _object(home, name).is_file():
                listing = json.loads(_object(home, name).read_text(encoding="utf-8"))
                yield from (str(entry["md5"]) for entry in listing)


def _object(home: Home, name: str) -> Path:
    return home.released_remote / "files" / "md5" / name[:2] / name[2:]


QUESTIONS = (
    Question("the restricted version store is whole", restricted),
    Question("the released version store is whole", released),
    Question(f"the objects of the {NEWEST} newest releases are there", objects),
    Question("every release has its plain copy", copies),
    Question("the transparency log is sound", log),
)
