"""For how long restricted things stay, and when a run has ended: the days of `retention` in
params.yaml begin there.

A run has ended where nothing can go on with it: it is published (the ledger says so, its tag is
there, its last stage is recorded), abandoned or declined; or nothing was ever charged for it and it
has lain idle for longer than anybody is waited for. Everything else is open, whatever its age.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from ruamel.yaml.error import YAMLError

from pipeline import params, portal_params
from pipeline.catalog import Home, Workspace
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs import version_stores

_WAITS_DAYS = 14  # for a person's answer, in Airflow


@dataclass(frozen=True, kw_only=True)
class Retention:
    """The block `retention` of params.yaml, in whole days. None: never."""

    rows_days: int = 30
    workspaces_days: int = 180
    stored_rows_days: int | None = None
    logs_days: int = 90

    def __post_init__(self) -> None:
        for one in fields(self):
            days = getattr(self, one.name)
            if days is None and one.name == "stored_rows_days":
                continue
            if type(days) is not int or days <= _WAITS_DAYS:
                raise Refusal(
                    f"retention.{one.name} must be a whole number of days above {_WAITS_DAYS}, for"
                    f" which runs wait for a person, is {days!r}"
                )
        if self.workspaces_days < self.rows_days:
            raise Refusal("retention.workspaces_days must be at least retention.rows_days")


def load(path: Path) -> Retention:
    """The settings in a params.yaml. Raises Refusal for an unknown key or a value out of range."""
    return Retention(**portal_params.block_of(path, "retention", Retention))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a run stands. `ended`: when it ended; None where it is open. `why`: in words."""

    ended: datetime | None
    why: str

    def age(self, now: datetime) -> int | None:
        """Whole days since its end."""
        return None if self.ended is None else (now - self.ended).days


def standing(home: Home, ledger: Ledger, workspace: Workspace, now: datetime) -> Standing:
    """How the run of a workspace stands. Never raises for a workspace that cannot be read: such a
    run is open.
    """
    name = workspace.root.name
    try:
        settings = params.load(workspace.params)
    except (Refusal, OSError, ValueError, YAMLError):
        return Standing(ended=None, why="its params.yaml cannot be read: look into it")
    if settings.release.drawn_from is not None:
        return _of_a_draw(home, workspace)
    state = ledger.state(name)
    if state == "released":
        return _of_a_release(home, ledger, workspace)
    if state in ("abandoned", "declined"):
        return Standing(ended=_entered(ledger, name, state), why=f"{state}")
    if state is not None or ledger.reservation(name) is not None:
        return Standing(ended=None, why="charged and not published: it may go on")
    last = _last_stage(workspace)
    if (now - last).days <= _WAITS_DAYS:
        return Standing(ended=None, why="not charged yet")
    return Standing(ended=last, why="never charged, and idle")


def _of_a_release(home: Home, ledger: Ledger, workspace: Workspace) -> Standing:
    name = workspace.root.name
    if not version_stores.is_tagged(home.released_store, name):
        return Standing(
            ended=None, why="the ledger calls it released, and its tag is missing: look into it"
        )
    if not workspace.restricted.complete.is_file():
        return Standing(
            ended=None, why="published, and its last stage is not recorded: run it again"
        )
    return Standing(ended=_entered(ledger, name, "released"), why="published")


def _of_a_draw(home: Home, workspace: Workspace) -> Standing:
    manifest = home.release(workspace.root.name).manifest
    if version_stores.is_tagged(home.released_store, workspace.root.name) and manifest.is_file():
        return Standing(ended=_last_stage(workspace), why="a published draw")
    return Standing(ended=None, why="a draw that is not published")


def _entered(ledger: Ledger, name: str, kind: str) -> datetime:
    moments = [one.at for one in ledger.entries() if (one.release_id, one.kind) == (name, kind)]
    return datetime.fromisoformat(moments[-1])


def _last_stage(workspace: Workspace) -> datetime:
    """When anything was last written about the run."""
    zone = workspace.restricted
    notes = (workspace.params, zone.run, zone.stages, zone.confirmations, zone.complete)
    return datetime.fromtimestamp(
        max(path.stat().st_mtime for path in notes if path.is_file()), UTC
    )


def ended_charges(home: Home, ledger: Ledger, now: datetime, days: int) -> list[str]:
    """Release ids that were published or abandoned that long ago, with a workspace or without."""
    return [
        str(entry.release_id)
        for entry in ledger.entries()
        if entry.kind in ("released", "abandoned")
        and (now - datetime.fromisoformat(entry.at)).days >= days
        and (
            entry.kind == "abandoned"
            or version_stores.is_tagged(home.released_store, str(entry.release_id))
        )
    ]
