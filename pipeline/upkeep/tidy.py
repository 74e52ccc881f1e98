"""Removes what is restricted and past its time, and tells what remains and why.

It may be killed at any moment and run again. Whatever cannot be judged stays.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.catalog import Home, Workspace
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs.uploads import deletion, stored_objects
from pipeline.upkeep import scratch
from pipeline.upkeep.backup import alone
from pipeline.upkeep.retention import Retention, ended_charges, standing

_DAY_SECONDS = 24 * 3600
_GOING = ".tidy-"  # a workspace that is being removed, in runs/
_FOR_EVER = (
    ("state/keys", "the permanent keys: without them nobody knows who is held out"),
    ("state/restricted/cohorts", "who is in which cohort, for life"),
    ("state/restricted/registers.db", "which population a source belongs to"),
    ("state/restricted/chain_heads", "by which an old ledger is found out"),
    ("state/restricted/registry.git", "settings and hashes of every run, for auditors"),
    ("state/restricted/dvc-remote", "objects that a commit of the restricted store names"),
    ("state/restricted/uploads", "goes on a day of its own: `uploads delete-due`"),
    ("state/released", "what was published"),
    ("mlruns", "the mirror: figures, and a copy of each restricted report"),
)


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something that goes, as a whole. `run`: the name of the run that it is of."""

    what: str
    why: str
    paths: tuple[Path, ...]
    size: int
    run: str | None = None
    whole_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What goes; and what stays, as (what, bytes, why). `moment`: of what was looked at."""

    moment: datetime
    goes: list[Item] = field(default_factory=list)
    stays: list[tuple[str, int, str]] = field(default_factory=list)


def plan(home: Home, settings: Retention, now: datetime | None = None) -> Plan:
    """What goes now, and what stays. Nothing is changed."""
    moment = now or datetime.now(UTC)
    result = Plan(moment=moment)
    ledger = Ledger(home.ledger)
    for folder in sorted(home.runs.glob(f"{_GOING}*")):
        result.goes.append(_item(f"runs/{folder.name}", "left by a broken-off tidy", [folder]))
    for folder in scratch.left(home.root, moment.timestamp()):
        result.goes.append(
            _item(folder.name, "a plain copy that a broken-off backup left", [folder])
        )
    for path in sorted(home.runs.glob("[!.]*/params.yaml")):
        _add_run(home, ledger, settings, home.workspace(path.parent.name), moment, result)
    _add_objects(home, ledger, settings, moment, result)
    _add_logs(home, settings, moment, result)
    result.stays.extend(
        (name, size_of(home.root / name), why)
        for name, why in (("state/ledger.db", "the ledger never forgets"), *_FOR_EVER)
        if (home.root / name).exists()
    )
    return result


def run(home: Home, plan: Plan) -> tuple[int, list[str]]:
    """Removes what a plan says. Returns the bytes that are free, and why something stayed."""
    freed, reasons = 0, []
    with alone(home):
        for item in plan.goes:
            try:
                _remove(home, item, plan.moment)
                freed += item.size
            except (Refusal, OSError) as error:
                reason = str(error) if isinstance(error, Refusal) else type(error).__name__
                reasons.append(f"{item.what}: {reason}")
    return freed, reasons


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; of links none."""
    paths = [path, *path.rglob("*")] if path.is_dir() else [path]
    size = 0
    for one in paths:
        with suppress(FileNotFoundError):  # it goes meanwhile
            facts = one.lstat()
            size += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return size


def _add_run(
    home: Home,
    ledger: Ledger,
    settings: Retention,
    workspace: Workspace,
    now: datetime,
    result: Plan,
) -> None:
    name, whole = workspace.root.name, workspace.root
    run = standing(home, ledger, workspace, now)
    age = run.age(now)
    if age is None:
        result.stays.append((f"runs/{name}", size_of(whole), run.why))
        return
    why = f"{run.why}, {age} days ago"
    if age >= settings.workspaces_days:
        result.goes.append(_item(f"runs/{name}", why, [whole], run=name, whole_run=True))
        return
    rows = [one for one in deletion.rows_in(workspace) if one != workspace.restricted.reasons]
    if rows and age >= settings.rows_days:
        result.goes.append(_item(f"runs/{name}: rows, checkpoints, cache", why, rows, run=name))
    rest = size_of(whole) - (sum(map(size_of, rows)) if age >= settings.rows_days else 0)
    result.stays.append((f"runs/{name}", rest, f"{why}; goes after {settings.workspaces_days}"))


def _add_objects(
    home: Home, ledger: Ledger, settings: Retention, now: datetime, result: Plan
) -> None:
    """Objects of the restricted remote that nothing names, or that hold rows past their time."""
    try:
        unnamed = [
            path
            for path in stored_objects.unnamed_objects(home)
            # one that a run has just pushed is named in a moment
            if now.timestamp() - path.stat().st_mtime > _DAY_SECONDS
        ]
    except Refusal as error:
        result.stays.append(("objects that nothing names", 0, str(error)))
        return
    if unnamed:
        why = "no commit of any branch names them, nor a workspace"
        result.goes.append(_item(f"{len(unnamed)} objects of DVC", why, unnamed))
    if settings.stored_rows_days is None:
        return
    runs = ended_charges(home, ledger, now, settings.stored_rows_days)
    rows = sorted(path for path in stored_objects.row_objects(home, runs) if path.is_file())
    if rows:
        # a list of a folder's files goes last: a killed attempt must find them again
        rows.sort(key=lambda one: one.suffix == ".dir")
        why = f"rows of runs that ended {settings.stored_rows_days} days ago"
        result.goes.append(_item(f"{len(rows)} objects of DVC with rows", why, rows))


def _add_logs(home: Home, settings: Retention, now: datetime, result: Plan) -> None:
    """What the tasks of a run of a DAG logged, where nothing was added for that long."""
    limit = now.timestamp() - settings.logs_days * _DAY_SECONDS
    logs = [
        folder
        for folder in sorted((home.airflow / "logs").glob("dag_id=*/run_id=*"))
        if (moment := scratch.last_change(folder)) is not None and moment < limit
    ]
    if logs:
        why = f"older than {settings.logs_days} days"
        result.goes.append(_item(f"logs of {len(logs)} runs of DAGs", why, logs))


def _item(
    what: str, why: str, paths: list[Path], *, run: str | None = None, whole_run: bool = False
) -> Item:
    return Item(
        what=what,
        why=why,
        paths=tuple(paths),
        size=sum(map(size_of, paths)),
        run=run,
        whole_run=whole_run,
    )


def _remove(home: Home, item: Item, moment: datetime) -> None:
    """Raises Refusal where somebody goes on with the run since it was looked at."""
    if item.run is None:
        for path in item.paths:
            deletion.remove(path)
        return
    workspace = home.workspace(item.run)
    workspace.restricted.root.mkdir(exist_ok=True)
    with deletion.no_stage(workspace, "it goes the next time"):
        run = standing(home, Ledger(home.ledger), workspace, moment)
        if run.ended is None:
            raise Refusal(f"somebody goes on with it: {run.why}")
        for path in _to_remove(home, item):
            deletion.remove(path)


def _to_remove(home: Home, item: Item) -> Iterator[Path]:
    """A whole workspace is put aside first: half of one would look like a run that may go on."""
    if not item.whole_run:
        yield from item.paths
        return
    aside = home.runs / f"{_GOING}{item.run}"
    if aside.exists():
        aside = aside.with_name(f"{aside.name}-{time.time_ns()}")
    home.workspace(str(item.run)).root.rename(aside)
    yield aside
