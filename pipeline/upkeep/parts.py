"""What of a home belongs in a backup, what stays out of it and why, and in which order it goes.

The order makes a copy consistent that is taken while runs go on. Whatever names an entry of the
ledger (a card, a tag, a note) is written after the entry, so it is copied *before* the ledger: the
copy of the ledger then holds all that the copies of the others name, and a charge more at most,
which is the safe side. Whatever an entry of the ledger needs (the permanent key, a mark of a
register of cohorts, the claim of a source) is written before the entry, so it is copied *after* the
ledger. In a version store the objects are pushed before the tag, so git is copied before them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from pipeline import files
from pipeline.catalog import Home, Workspace
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs.uploads import stored_objects

CONTENTS = "backup.json"  # of a backup: what it holds, with checksums; written last
FORMAT = 1  # of backup.json
# Of state/, by pattern. What is not named here is in the backup: something new is kept by default.
LEFT_OUT: tuple[tuple[str, str], ...] = (
    ("keys/uploads", "keys of uploads: an upload is deleted by its key, so no copy of one is kept"),
    ("restricted/uploads/*/files", "uploads: without their keys nobody reads them"),
    ("restricted/uploads/*/findings.json", "goes with the upload"),
    ("restricted/check-*", "scratch of a dry run, with rows"),
    ("released/registry.git", "kept as released.bundle"),
    ("restricted/registry.git", "kept as restricted.bundle"),
    ("airflow", "Airflow's history; it begins anew, and open runs go on by their release id"),
    ("logs", "logs of services"),
    ("services", "where services start"),
    ("services.json", "which services run"),
    ("budget", "the budget report: `python -m pipeline budget-report` makes it again"),
    ("portal/cache", "computed from released extracts, and computed again"),
    ("tmp*", "scratch of a stage"),
    ("*.lock", "locks"),
)
# What an entry of the ledger needs, and so is copied after it.
_AFTER_LEDGER = (
    *("keys/*", "restricted/cohorts/*", "restricted/registers.db", "restricted/source_paths.json"),
    "sources.yaml",
)
_DATABASE_SUFFIXES = ("-wal", "-shm", "-journal")  # of SQLite, beside a database: part of its copy
# Of an open run's workspace. What holds patients' rows stays out: ingest makes it again.
_OF_A_RUN = ("restricted", "released")
_ROWS_OF_A_RUN = ("restricted/data", "restricted/augmented", "restricted/errors")
BUNDLES = {"released": "released.bundle", "restricted": "restricted.bundle"}
ELSEWHERE = "ledger-elsewhere.db"  # a ledger that is no file of this home, entry by entry


def refuse_shared(home: Home) -> None:
    """Raises Refusal where the home is not all: registers and ledger in a database that
    deployment.yaml names, stores and checkpoints elsewhere.
    """
    if home.deployment.database is not None:
        raise Refusal(
            "deployment.yaml names a database: this home holds neither the ledger nor the registers"
            " of cohorts and sources. Save and restore the stores, the database and the keys by"
            " their own means, in the order of docs/several_hosts.md (Backups). Nothing was done"
        )


def store_of(home: Home, zone: str) -> Path:
    return home.released_store if zone == "released" else home.restricted_store


def before_ledger(home: Home, releases: set[str]) -> Iterator[Path]:
    """The files of the home that are copied before the ledger. releases: those whose tags are in
    the copy of the released version store; of others that appear meanwhile no extract is copied.
    """
    # a backup would outlive the deletion of an upload
    rows_of_uploads = stored_objects.row_objects(home, stored_objects.runs_of_uploads(home))
    for path in _state_files(home):
        is_ledger = path == home.ledger_file or _is_after(home, path)
        if not is_ledger and path not in rows_of_uploads and _is_of(home, path, releases):
            yield path
    for name in open_runs(home):
        yield from _run_files(home.workspace(name))


def after_ledger(home: Home) -> Iterator[Path]:
    """The files that are copied after the ledger; then settings and declarations of the home."""
    yield from (path for path in _state_files(home) if _is_after(home, path))
    if home.params.parent == home.root:
        yield home.params
    yield from _below(home.datasets)


def mlflow_files(home: Home) -> Iterator[Path]:
    """The mirror in MLflow, where somebody wants it in the backup."""
    yield from _below(home.mlruns)


def open_runs(home: Home) -> list[str]:
    """Runs whose one model is noted in the ledger and whose release is not closed: they can go on
    after their return, and no noise is drawn again. A training that is not finished cannot: what
    it drew is not in the ledger, so an older copy of it could draw again.
    """
    ledger = Ledger(home.ledger)
    return [
        path.parent.name
        for path in sorted(home.runs.glob("[!.]*/params.yaml"))
        if ledger.state(path.parent.name) == "reserved" and ledger.trained_model(path.parent.name)
    ]


def empty_folders(home: Home) -> Iterator[str]:
    """Folders of state/ without anything in them: an extract may have one."""
    for folder in sorted(path for path in home.state.rglob("*/") if path.is_dir()):
        name = str(folder.relative_to(home.state))
        if not is_left_out(name) and not any(folder.iterdir()):
            yield name


def is_left_out(name: str) -> bool:
    """Whether a path in state/, with `/` between its parts, stays out of backups."""
    parts = name.split("/")
    return any(
        fnmatch("/".join(parts[: pattern.count("/") + 1]), pattern) or fnmatch(parts[-1], "*.lock")
        for pattern, _ in LEFT_OUT
    )


def _state_files(home: Home) -> Iterator[Path]:
    for path in _below(home.state):
        if not is_left_out(str(path.relative_to(home.state))):
            yield path


def _is_after(home: Home, path: Path) -> bool:
    name = str(path.relative_to(home.state))
    return any(fnmatch(name, pattern) for pattern in _AFTER_LEDGER)


def _is_of(home: Home, path: Path, releases: set[str]) -> bool:
    is_published = path.is_relative_to(home.published)
    return not is_published or path.relative_to(home.published).parts[0] in releases


def _run_files(workspace: Workspace) -> Iterator[Path]:
    for top in _OF_A_RUN:
        for path in _below(workspace.root / top):
            name = str(path.relative_to(workspace.root))
            is_rows = any(name.startswith(f"{rows}/") for rows in _ROWS_OF_A_RUN)
            if not is_rows and not name.endswith("lock"):
                yield path


def _below(folder: Path) -> Iterator[Path]:
    """Every file in a folder but temporary ones, in order. Links stay out: they lead elsewhere."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_temporary(name))
        for name in sorted(names):
            path = Path(root) / name
            if not (_is_temporary(name) or name.endswith(_DATABASE_SUFFIXES) or path.is_symlink()):
                yield path


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith((files.TEMPORARY, files.OLDER))
