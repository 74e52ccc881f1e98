"""Of the runs, and of the backup."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline import night_params
from pipeline.catalog import Home
from pipeline.cli.doctor.questions import Fault, Question, warning
from pipeline.ledger import Ledger
from pipeline.population_limits import SELF_APPROVING_KINDS
from pipeline.runs.programs import has_half_lock
from pipeline.services.backup_note import last_backup


def locks(home: Home) -> Iterator[Fault]:
    """DVC's list of readers and writers is whole in every workspace."""
    for workspace in sorted(home.runs.glob("[!.]*")):
        if has_half_lock(workspace):
            yield Fault(
                f"runs/{workspace.name}/.dvc/tmp/rwlock is half written, as a kill or a full disk"
                " leaves it: the next try of a stage removes it, or `python -m pipeline mend-lock`"
                " there"
            )


def readable(home: Home) -> Iterator[Fault]:
    """What runs and the home noted as JSON is whole."""
    patterns = (
        (home.state, ("*.json", "restricted/*.json", "restricted/chain_heads/[!.]*.json")),
        (home.runs, ("[!.]*/restricted/*.json",)),
    )
    paths = [path for root, globs in patterns for glob in globs for path in root.glob(glob)]
    for path in sorted(paths):
        if not _is_json(path):
            yield Fault(
                f"{path.relative_to(home.root)} is damaged, as a full disk leaves it: restore it"
                " from the backup; where a stage of a run wrote it, remove it and run that stage"
                " again"
            )


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:  # it went meanwhile
        return True
    except ValueError:
        return False
    return True


def backup(home: Home) -> Iterator[Fault]:
    """There is a backup that is young enough. Nobody must make one of made-up and public data.
    Where deployment.yaml names a database, it is one that somebody noted.
    """
    is_noted = home.deployment.database is not None
    place = "docs/several_hosts.md, Backups" if is_noted else "docs/operations.md, section 1"
    days, at = night_params.load_watch(home.params).backup_days, last_backup(home)
    if at is None:
        kinds = {population.kind for population in Ledger(home.ledger).populations()}
        if not kinds <= set(SELF_APPROVING_KINDS):
            yield warning(
                f"no backup was noted by `python -m pipeline backup --noted` ({place})"
                if is_noted
                else "no backup was made by `python -m pipeline backup` of this home: ledger and"
                f" keys lie on one disk ({place})"
            )
    elif (age := datetime.now(UTC) - at) > timedelta(days=days):
        yield warning(
            f"the last backup is {age / timedelta(days=1):.1f} days old, more than {days:g}: make"
            f" one ({place})"
        )


QUESTIONS = (
    Question("no run has half a lock of DVC", locks),
    Question("what was noted can be read", readable),
    Question("the last backup is young enough", backup),
)
