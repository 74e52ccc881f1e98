"""Deletes an upload and everything with patients' rows that came from it. The key goes first: from
then on nobody reads what is left of the upload anywhere, whatever happens next.

It may be killed at any moment and run again. What is not this upload's is left alone.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from pipeline.catalog import Home, Workspace
from pipeline.refusal import Refusal
from pipeline.runs import sources
from pipeline.runs.uploads import keys, records, stored_objects
from pipeline.runs.uploads.records import Upload

logger = logging.getLogger(__name__)

_DAY_SECONDS = 24 * 3600
REMAINS = (
    ("the ledger", "charges, and answers about releases: no row; it must never forget"),
    ("reports, validation and confirmations of its runs", "counts, for auditors: no row"),
    ("the branches of its runs in the restricted version store", "settings, sizes and hashes"),
    ("published releases and their models", "covered by their charges"),
    ("MLflow and Airflow", "settings, counts and log lines without values"),
    ("the claim of the source", "its id and its population: no id is used twice"),
    ("the register of cohorts, the permanent keys", "of the population, not of one upload"),
)


def due(home: Home, today: date | None = None) -> list[Upload]:
    """Uploads whose day has come, and those whose deletion was begun and not ended."""
    day = today or datetime.now(UTC).date()
    return [
        one
        for one in records.every(home)
        if one.state == "deleting" or (one.state != "deleted" and one.delete_on <= day)
    ]


def delete_due(home: Home, today: date | None = None) -> tuple[list[Upload], list[str]]:
    """Deletes what is due. Returns what was deleted, and why the others were not (a stage of a run
    still reads, say): they are tried again the next time.
    """
    _sweep(home)
    gone, reasons = [], []
    for upload in due(home, today):
        try:
            gone.append(delete(home, upload.id))
        except (Refusal, OSError, RuntimeError) as error:
            reason = str(error) if isinstance(error, Refusal) else type(error).__name__
            reasons.append(f"upload {upload.id}: {reason}")
    return gone, reasons


def _sweep(home: Home) -> None:
    """Removes what a crash left: of an upload that was never begun, its key or folders without a
    record; of a dry run (`dataset check`), its scratch, which holds rows. What is of the last day
    may still be in use.
    """
    begun = {one.id for one in records.every(home)}
    # without any record, the disk of the uploads is away: their keys are the only ones there are
    keys_there = home.upload_keys.glob("*") if begun else ()
    nobodys = [
        path for path in (*home.uploads.glob("[!.]*"), *keys_there) if path.name not in begun
    ]
    for path in (*nobodys, *home.uploads.parent.glob("check-*")):
        if time.time() - path.stat().st_mtime > _DAY_SECONDS:
            remove(path)


def delete(home: Home, upload_id: str) -> Upload:
    """Deletes one upload. Raises Refusal where a stage of one of its runs still runs: then the key
    and the pieces are gone, and what is left goes the next time. Again changes nothing.
    """
    with records.locked(home, upload_id) as upload:
        if upload.state == "deleted":
            return upload
        records.save(home, replace(upload, state="deleting"))
    keys.destroy(home, upload_id)
    remove(home.upload(upload_id).pieces(0).parent)
    home.upload(upload_id).findings.unlink(missing_ok=True)
    is_withdrawn = sources.withdraw(home, upload.dataset, upload.address)
    runs = stored_objects.runs_of(home, upload.address)
    n_objects, n_shared = stored_objects.remove_rows(home, runs)
    for name in runs:
        _clear_workspace(home.workspace(name))
    account = {
        "deleted": records.now(),
        "removed": _removed(upload, runs, n_objects, is_withdrawn),
        "remains": [list(pair) for pair in _remains(n_shared)],
    }
    with records.locked(home, upload_id) as upload:
        # the files' names may say more than their number does
        gone = replace(upload, state="deleted", deletion=account, files=(), reasons=())
        records.save(home, gone)
    logger.info("upload %s is deleted, with what %d runs kept of its rows", upload_id, len(runs))
    return gone


def _removed(
    upload: Upload, runs: list[str], n_objects: int, is_withdrawn: bool
) -> list[list[str]]:
    removed = [
        ["the key", "overwritten and removed: no copy of the pieces can be read"],
        ["the pieces", f"of {len(upload.files)} file(s)"],
        ["what was found in the files' structure", "lines and columns"],
    ]
    if runs:
        what = "ingest's tables, checkpoints, augmented tables, reports of errors, cache"
        removed.append([f"in the workspaces of {', '.join(runs)}", what])
        removed.append(["in the restricted remote of DVC", f"{n_objects} objects"])
    if is_withdrawn:
        removed.append(["the declaration", f"{upload.dataset} has no source now"])
    return removed


def _remains(n_shared: int) -> Iterator[tuple[str, str]]:
    yield from REMAINS
    yield (
        "backups made before",
        "`backup` takes neither its key nor its pieces nor ingest's tables of it; copies that"
        " somebody made otherwise are yours to remove",
    )
    if n_shared:
        yield f"{n_shared} objects of DVC", "runs of other sources have the same content"


def rows_in(workspace: Workspace) -> list[Path]:
    """All of a run that may hold rows: its own cache of DVC, and everything restricted but what is
    known to hold none, so that scratch of a killed stage is among it.
    """
    zone, cache = workspace.restricted, workspace.root / ".dvc" / "cache"
    without_rows = {
        path.name
        for path in (
            *(zone.validation.root, zone.report.root, zone.gate.root),
            *(zone.confirmation, zone.confirmations, zone.reservation, zone.budget, zone.tape),
            *(zone.answers, zone.approval, zone.run, zone.stages, zone.stage_lock, zone.refusal),
            *(zone.complete, workspace.tracking),
        )
    }
    inside = sorted(zone.root.iterdir()) if zone.root.is_dir() else []
    return [path for path in inside if path.name not in without_rows] + (
        [cache] if cache.exists() else []
    )


def _clear_workspace(workspace: Workspace) -> None:
    if workspace.restricted.root.is_dir():
        rest = (
            "the upload itself is gone; delete it again when the stage has ended, for what the run"
            " keeps of its rows"
        )
        with no_stage(workspace, rest):
            for path in rows_in(workspace):
                remove(path)


@contextmanager
def no_stage(workspace: Workspace, rest: str) -> Iterator[None]:
    """No stage begins while the block runs. Raises Refusal where one is running, with `rest`: what
    follows for a person.
    """
    with workspace.restricted.stage_lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refusal(f"a stage of run {workspace.root.name} is running: {rest}") from None
        yield


def remove(path: Path) -> None:
    """A file, a link or a folder with all that lies there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
