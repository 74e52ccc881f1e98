"""Puts a backup back into an empty home, if its ledger knows of everything that was published.

An older ledger has forgotten charges and refusals. Nothing in a backup can tell whether anything
was published or refused after it, so a person must show what was published last, or state that
nothing was; and name what was refused, or state that nothing was.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline import files
from pipeline.catalog import Home
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs import chain_heads, places, sources, version_stores
from pipeline.upkeep import check, heads, parts, since
from pipeline.upkeep.check import Backup
from pipeline.upkeep.copies import Say, file_sha256

RESTORATIONS = "restorations.jsonl"  # in state/restricted


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What a person says of the time after the backup. `released`: a place with what was published
    last. `nothing_since`: nothing was. `closed`: charges were lost, and nothing is charged again.
    `refused`: each run that was refused, as RELEASE or POPULATION/RELEASE (`since`).
    `nothing_refused`: none was.
    """

    released: Path | None = None
    nothing_since: bool = False
    closed: bool = False
    refused: tuple[str, ...] = ()
    nothing_refused: bool = False


def restore(home: Home, folder: Path, statement: Statement, say: Say) -> list[str]:
    """Puts everything of the backup in `folder` back. Returns what a person should know, a line
    each.

    Raises Refusal, and writes nothing, where the home holds state, was another folder, where the
    backup is damaged or older than what was published, and where nobody says what was published or
    refused since.
    """
    parts.refuse_shared(home)
    backup = check.read(folder)
    _refuse_home(home, backup)
    _refuse_silence(statement)
    say(f"Checking {folder}, made {backup.contents['made']}")
    for question, fault in check.faults(backup):
        say(f"  {'NO ' if fault else 'yes'}  {question}{': ' + fault if fault else ''}")
        if fault and question not in check.WARNINGS:
            raise Refusal(f"{folder} is not sound ({fault}): nothing was restored")
    unknown = _published_since(backup, statement)
    _refuse_forgotten_refusals(backup, statement, unknown)
    _refuse_by_mlflow(home, backup, statement)
    say("Putting everything back, state/ last")
    _restore_ledger_elsewhere(backup, statement)
    _restore_others(home, backup)
    runs = _open_runs(backup, statement)
    for name in runs:
        _restore_run(home, backup, name)
    _restore_state(home, backup, statement, unknown)
    for name in sorted(since.release_ids(statement.refused)):
        chain_heads.note(home, name)
    home.set_modes()
    return [*_remarks(home, backup, runs, unknown)]


def _refuse_home(home: Home, backup: Backup) -> None:
    for own in (home.state, home.runs):
        if own.is_dir() and any(own.iterdir()):
            raise Refusal(
                f"{own} holds something, and a backup replaces nothing: move it away (mv"
                f" {own.name} {own.name}.before), and look whether it is newer than the backup."
                " Nothing was restored"
            )
    if backup.contents["mlflow"] and home.mlflow_database.exists():
        raise Refusal(f"{home.mlruns} holds a database, and this backup another: move it away")
    if str(home.root.resolve()) != backup.contents["home"]:
        raise Refusal(
            f"this backup is of the home {backup.contents['home']}, and the version stores, the"
            f" sources and MLflow name it by that path: restore it there (SYNDASERA_HOME="
            f"{backup.contents['home']}). Nothing was restored"
        )


def _refuse_silence(statement: Statement) -> None:
    if statement.released is None and not statement.nothing_since:
        raise Refusal(
            "was anything published after this backup was made? Show what was published last, so"
            " that it can be compared with the ledger (--released PLACE: a clone of the released"
            " version store, or a folder of extracts); or state that nothing was"
            " (--nothing-published-since). Nothing was restored"
        )


def _published_since(backup: Backup, statement: Statement) -> list[heads.CardFacts]:
    """The cards that the backup's ledger does not know of; none but where a person closes it."""
    if statement.released is None:
        return []
    unknown = heads.unknown_to(backup.ledger, heads.of_cards(statement.released))
    if unknown and not statement.closed:
        raise Refusal(
            f"{heads.lost(unknown)}. To draw from it and look into it, restore it with --closed:"
            " nothing is ever charged there again. Nothing was restored"
        )
    return unknown


def _refuse_forgotten_refusals(
    backup: Backup, statement: Statement, unknown: list[heads.CardFacts]
) -> None:
    """A copy of what was published shows no refusal. A closed ledger with nothing that waits takes
    no charge whose refusals could be counted.
    """
    since.check(backup.ledger, statement.refused)
    is_said = statement.nothing_refused or statement.refused
    if not is_said and (since.waiting(backup.ledger) or not unknown):
        since.refuse_silence(backup.ledger, backup.contents["made"])


def _open_runs(backup: Backup, statement: Statement) -> list[str]:
    """Those that may go on: whose model is in the backup, and which nobody refused since."""
    refused = since.release_ids(statement.refused)
    return [name for name in backup.contents["open_runs"] if name not in refused]


def _refuse_by_mlflow(home: Home, backup: Backup, statement: Statement) -> None:
    """A mirror that outlived the loss knows which charges were made since."""
    from pipeline.services.tracking import tracked_chain_heads

    hashes = {entry.hash for entry in backup.ledger.entries()}
    tracked = tracked_chain_heads(home)
    later = [where for where, head in tracked.items() if head not in hashes]
    if later and not statement.closed:
        raise Refusal(
            f"{home.mlruns.name}/ is still here, and {later[0]} names an entry that this backup's"
            " ledger lacks: something was charged after it. Use a newer backup. If none of it was"
            " published, move the folder away, for every charge is compared with it. Nothing was"
            " restored"
        )


def _restore_state(
    home: Home, backup: Backup, statement: Statement, unknown: list[heads.CardFacts]
) -> None:
    """The folder state/, whole or not at all, with who put it back and what he or she said."""
    with files.replacing_folder(home.state, foreign=files.everything) as state:
        for name in backup.files:
            if name.startswith("state/"):
                _put(backup, name, state / name.removeprefix("state/"))
        for name in backup.contents["empty_folders"]:
            (state / name).mkdir(parents=True, exist_ok=True)
        for zone in parts.BUNDLES:
            if bundle := backup.bundle(zone):
                place = parts.store_of(home, zone).relative_to(home.state)
                version_stores.unbundle(bundle, state / place)
        if parts.ELSEWHERE not in backup.files:
            ledger = Ledger(state / home.ledger_file.relative_to(home.state))
            since.enter(ledger, statement.refused, getpass.getuser())
        _settle_times(state / home.published.relative_to(home.state))
        for card in unknown:  # notes of heads that the ledger lacks: each charge is refused
            note = state / home.chain_heads.relative_to(home.state) / f"lost-{card.charge}.json"
            files.write_json(note, {"head": card.head, "entry": None})
        files.append_line(
            state / "restricted" / RESTORATIONS, _restoration(backup, statement, unknown)
        )


def _restoration(backup: Backup, statement: Statement, unknown: list[heads.CardFacts]) -> str:
    """A line for auditors."""
    facts = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": getpass.getuser(),
        "backup_made": backup.contents["made"],
        "entries": backup.contents["ledger"]["entries"],
        "nothing_published_since": statement.nothing_since,
        "nothing_refused_since": statement.nothing_refused,
        "refused_since": sorted(statement.refused),
        "lost": sorted(card.charge for card in unknown),
    }
    return json.dumps(facts)


def _put(backup: Backup, name: str, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(backup.folder / name, place)
    place.chmod(0o600)
    moment = backup.files[name]["time_ns"]
    os.utime(place, ns=(moment, moment))


def _settle_times(published: Path) -> None:
    """The folders of the extracts bear the one moment that everything published bears."""
    moment = version_stores.MOMENT.timestamp()
    for folder in (*published.glob("*/"), *published.glob("*/**/")):
        os.utime(folder, (moment, moment))


def _restore_ledger_elsewhere(backup: Backup, statement: Statement) -> None:
    """Into an empty database. One that holds the backup's entries, and more, outlived the loss: it
    stays as it is.
    """
    is_file = backup.home.ledger == str(backup.home.ledger_file)
    if (parts.ELSEWHERE in backup.files) == is_file:
        raise Refusal(
            "this backup's ledger was no file of the home: say where it is to be (SYNDASERA_LEDGER="
            "postgresql://USER@HOST:PORT/DATABASE). Nothing was restored"
            if is_file
            else "this backup's ledger was a file of the home: leave SYNDASERA_LEDGER out, and move"
            " it afterwards (`python -m pipeline ledger move`). Nothing was restored"
        )
    if not is_file:
        backup.ledger.copy_to(Ledger(backup.home.ledger))
        since.enter(Ledger(backup.home.ledger), statement.refused, getpass.getuser())


def _restore_run(home: Home, backup: Backup, name: str) -> None:
    """The workspace of an open run: git's part as its branch holds it, and what the backup holds of
    its two zones.
    """
    files.private_folder(home.runs)
    with files.replacing_folder(home.workspace(name).root, foreign=files.everything) as root:
        bundle, store = str(backup.bundle("restricted")), str(home.restricted_store.resolve())
        version_stores.git("clone", "-q", "-b", name, bundle, str(root), cwd=root.parent)
        version_stores.git("remote", "set-url", "origin", store, cwd=root)
        for one in backup.files:
            if one.startswith(f"runs/{name}/"):
                _put(backup, one, root / one.removeprefix(f"runs/{name}/"))


def _restore_others(home: Home, backup: Backup) -> None:
    """Settings, declarations and MLflow's mirror; a file that is there already stays."""
    for name in backup.files:
        is_other = name.split("/")[0] in ("params.yaml", "datasets", "mlruns")
        if is_other and not (home.root / name).exists():
            _put(backup, name, home.root / name)


def _remarks(
    home: Home, backup: Backup, runs: list[str], unknown: list[heads.CardFacts]
) -> Iterator[str]:
    if unknown:
        yield "The ledger is closed: it has lost charges, and every further one is refused."
    for name in runs:
        yield f"Run {name} waits where it was: the same release id again goes on, from its source."
    yield from _lost_runs(home, backup)
    for dataset, source in sources.load(home).items():
        if not places.is_there(source.path):
            yield f"There is nothing at {source.path}, the declared source of {dataset}."
    for name in backup.files:
        place = home.root / name
        if name.startswith(("params", "datasets/")) and file_sha256(place) != _sha256(backup, name):
            yield f"{name} was here and is another one than in the backup: it stayed."
        if "/" not in name and name.endswith(".sql"):
            yield f"{name} in the backup is a portal's database: psql URL < {name}, once, if empty."


def _sha256(backup: Backup, name: str) -> str:
    return str(backup.files[name]["sha256"])


def _lost_runs(home: Home, backup: Backup) -> Iterator[str]:
    ledger, tags = Ledger(home.ledger), version_stores.tags(home.released_store)
    for population in ledger.populations():
        for charge in ledger.reservations(population.name):
            release = charge.release_id
            is_open = ledger.state(release) == "reserved"
            if is_open and release not in backup.contents["open_runs"]:
                yield (
                    f"Run {release} is charged and cannot go on: its training is in no backup."
                    f" `python -m pipeline ledger abandon {release} --reason ...` closes it."
                )
            if ledger.state(release) == "released" and release not in tags:
                yield (
                    f"{release} was published while the backup was made, and is not in it: fetch it"
                    " from a copy of the released version store."
                )
