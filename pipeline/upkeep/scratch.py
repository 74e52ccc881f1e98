"""Where a backup lies plain for a while, in the home, and what a killed command left of such."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PLAIN = "backup"  # the folder of the backup in it; beside it its archive
_PREFIX = ".backup-"
_NAME = re.compile(rf"{re.escape(_PREFIX)}[a-z0-9_]{{8}}")
_INSIDE = re.compile(rf"{PLAIN}|{PLAIN}\.tar|\.{PLAIN}\.[0-9a-f]{{8}}\.tmp(\.old)?")
_DAY_SECONDS = 24 * 3600


@contextmanager
def folder(parent: Path | None) -> Iterator[Path]:
    """A folder of its own below `parent` (None: where the machine keeps temporary files), for its
    owner alone, while the block runs. It is locked, so that nobody takes it for a left one.
    """
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as name:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Path(name)
        finally:
            os.close(descriptor)


def left(parent: Path, now: float) -> list[Path]:
    """The folders below `parent` that a killed command of ours left more than a day ago. now: in
    seconds since 1970.

    Ours: a name as `folder` gives it, this user's, for him or her alone, in it nothing but what a
    backup puts there, and nobody at work in it. Whatever else bears such a name stays.
    """
    return [path for path in sorted(parent.glob(f"{_PREFIX}*")) if _is_left(path, now)]


def last_change(path: Path) -> float | None:
    """When a folder, or anything in it, was changed last, in seconds since 1970; None where it is
    gone. What goes while it is looked at does not count.
    """
    moments = []
    for one in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            moments.append(one.lstat().st_mtime)
    return max(moments) if moments and path.exists() else None


def _is_left(path: Path, now: float) -> bool:
    try:
        facts = path.lstat()
        is_ours = (
            _NAME.fullmatch(path.name) is not None
            and stat.S_ISDIR(facts.st_mode)
            and facts.st_uid == os.getuid()
            and stat.S_IMODE(facts.st_mode) == 0o700
            and all(_INSIDE.fullmatch(one.name) for one in path.iterdir())
        )
        if not is_ours or _is_locked(path):
            return False
        moment = last_change(path)
        return moment is not None and now - moment > _DAY_SECONDS
    except OSError:  # it goes meanwhile, or cannot be looked at
        return False


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
