"""Of the machine: disk, packages, modes of files."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from importlib import metadata
from itertools import islice
from pathlib import Path

from pipeline.catalog import Home, project_root
from pipeline.cli.doctor.questions import Fault, Question, warning
from pipeline.cli.services import NEEDED_GB

MOST_NAMES = 3  # in one line
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)")

OBJECTS = "/files/md5/"  # in the path of what DVC keeps


def disk(home: Home) -> Iterator[Fault]:
    """Room for a run, and for the files that a full disk would leave half written."""
    place = next(path for path in (home.state, home.root, *home.root.parents) if path.is_dir())
    free = shutil.disk_usage(place).free / 1e9
    if free < NEEDED_GB:
        yield Fault(
            f"the disk is nearly full: {free:.1f} GB free, a run needs {NEEDED_GB:.0f}. You may"
            " remove runs/ of published releases; never the ledger or the keys"
        )


def packages(home: Home) -> Iterator[Fault]:
    """The environment is what requirements.lock says. Packages of the lock that are absent (those
    of another kind of machine) are no fault as long as everything runs.
    """
    lock = (project_root() / "requirements.lock").read_text(encoding="utf-8")
    pins = {pin[1]: pin[2] for line in lock.splitlines() if (pin := _PIN.match(line))}
    differing = [f"{name} {here}, not {pins[name]}" for name, here in _others(pins)]
    if differing:
        yield warning(
            f"the environment is not the lock's: {_named(differing)}. Remove"
            " .venv/installed-from.lock and run `make environment`"
        )


def _others(pins: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, version in pins.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if here.partition("+")[0] != version:
            yield name, here


def modes(home: Home) -> Iterator[Fault]:
    """Nobody but the owner reads what lies in a home; nobody but the owner writes what is
    released.
    """
    open_ones = [home.state] if home.state.is_dir() and _mode(home.state) & 0o066 else []
    for root in (*home.state.glob("*"), home.runs, home.mlruns):
        allowed = 0o755 if root == home.released else 0o700
        is_closed = not _mode(root) & 0o077
        open_ones += islice(
            (
                path
                for path in _all_below(root)
                if _mode(path) & ~allowed & 0o777 and not (is_closed and _is_object(path))
            ),
            MOST_NAMES + 1,
        )
    if open_ones:
        names = [str(path.relative_to(home.root)) for path in open_ones]
        yield Fault(f"others than the owner may use {_named(names)}: `make up` mends it")


def _is_object(path: Path) -> bool:
    """Whether DVC made it so: of what it keeps nobody may write anything, and everybody read who
    gets there.
    """
    return OBJECTS in path.as_posix() and path.is_file() and not _mode(path) & 0o333


def _all_below(root: Path) -> Iterator[Path]:
    if root.is_symlink() or not root.exists():
        return
    yield root
    for folder, folders, names in os.walk(root):
        paths = (Path(folder) / name for name in (*folders, *names))
        yield from (path for path in paths if not path.is_symlink())


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:  # it went meanwhile
        return 0


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{'; '.join(names[:MOST_NAMES])}{more}"


QUESTIONS = (
    Question("the disk has room for a run", disk),
    Question("the environment is the lock's", packages),
    Question("files are their owner's alone, but for what is released", modes),
)
