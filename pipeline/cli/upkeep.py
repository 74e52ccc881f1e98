"""Backups, their return, and what may be removed after its time, from the command line."""

from __future__ import annotations

import argparse
import getpass
from datetime import UTC, datetime
from pathlib import Path

from pipeline import files
from pipeline.catalog import Home
from pipeline.cli.console import say, say_table
from pipeline.migrations import migrate
from pipeline.refusal import Refusal


def make_backup(options: argparse.Namespace) -> int:
    """0 where the backup is made and sound, with --check where it is sound, with --noted where it
    is noted; else 1.
    """
    from pipeline.services import backup_note
    from pipeline.upkeep import sealed

    if options.noted:
        return _note_backup(options)
    if options.place is None:
        raise Refusal("backup: which folder is it written to? python -m pipeline backup FOLDER")
    if options.check:
        with sealed.unsealed(options.place, options.identity) as folder:
            return _check(folder, options.place)
    home, begin = Home.find(), datetime.now(UTC)
    if options.to is None:
        _make(home, options.place, options)
        code = _check(options.place, options.place)
    else:
        code = _make_sealed(home, options)
    if code == 0:
        backup_note.note(home, begin)
    return code


def _note_backup(options: argparse.Namespace) -> int:
    from pipeline.services import backup_note

    home, now = Home.find(), datetime.now(UTC)
    if options.place is not None or options.check or options.to is not None:
        raise Refusal("backup --noted makes and checks nothing: give it alone")
    if home.deployment.database is None:
        raise Refusal(
            "backup --noted is for a home whose deployment.yaml names a database, whose parts are"
            " saved by their own means: save this one with `python -m pipeline backup FOLDER`"
        )
    backup_note.note(home, now)
    say(f"Noted: saved by their own means at {now:%Y-%m-%d %H:%M} UTC.")
    return 0


def _make_sealed(home: Home, options: argparse.Namespace) -> int:
    from pipeline.upkeep import scratch, sealed

    recipient = sealed.recipient_of(options.to)
    files.refuse_existing(options.place)
    # what is plain meanwhile never leaves the machine
    with scratch.folder(home.root) as plain:
        folder = plain / scratch.PLAIN
        _make(home, folder, options)
        code = _check(folder, options.place)
        sealed.seal(folder, options.place, recipient)
    return code


def _make(home: Home, folder: Path, options: argparse.Namespace) -> None:
    from pipeline.upkeep import backup
    from pipeline.upkeep.copies import in_words

    wishes = backup.Wishes(mlflow=options.with_mlflow, portal=not options.without_portal)
    contents = backup.make(home, folder, getpass.getuser(), wishes, say)
    size = sum(facts["bytes"] for facts in contents["files"].values())
    say(f"{len(contents['files'])} files, {in_words(size)}. Left out, and why:")
    say_table(("of state/", "why"), [tuple(pair) for pair in contents["left_out"]])


def _check(folder: Path, place: Path) -> int:
    """The answers about the backup in a folder, which a person knows as `place`."""
    from pipeline.upkeep import check

    copy = check.read(folder)
    answers = list(check.faults(copy))
    for question, fault in answers:
        say(f"  {'NO ' if fault else 'yes'}  {question}{': ' + fault if fault else ''}")
    sound = not any(fault for question, fault in answers if question not in check.WARNINGS)
    ledger = copy.contents["ledger"]
    say(
        f"{place} is {'sound' if sound else 'NOT sound'}: made {copy.contents['made']},"
        f" {ledger['entries']} entries of the ledger up to {str(ledger['chain_head'])[:12]}…"
    )
    if sound:
        say("It is restricted: it holds keys, passwords and patients' rows.")
    return 0 if sound else 1


def restore_backup(options: argparse.Namespace) -> None:
    """Raises Refusal, and writes nothing, where the ledger of the backup is older than what was
    published, or nobody says what was published or refused since.
    """
    from pipeline.ledger import Ledger
    from pipeline.restricted.reserve import noted_chain_heads
    from pipeline.upkeep import restore, sealed

    home = Home.find()
    statement = restore.Statement(
        released=options.released,
        nothing_since=options.nothing_published_since,
        closed=options.closed,
        refused=tuple(options.refused_since),
        nothing_refused=options.nothing_refused_since,
    )
    home.root.mkdir(parents=True, exist_ok=True)
    with sealed.unsealed(options.place, options.identity, home.root) as folder:
        remarks = restore.restore(home, folder, statement, say)
    migrate(home)
    for remark in remarks:
        say(remark)
    ledger = Ledger(home.ledger)
    if not options.closed:
        ledger.verify(noted_chain_heads(home))
    say(f"Restored: {len(ledger.entries())} entries of the ledger, in {home.root}.")


def tidy_up(options: argparse.Namespace) -> None:
    """What goes, or with --dry-run would go, and what remains and why."""
    from pipeline.upkeep import retention, tidy
    from pipeline.upkeep.copies import in_words

    home = Home.find()
    plan = tidy.plan(home, retention.load(home.params))
    say("Would go:" if options.dry_run else "Goes:")
    say_table(
        ("what", "size", "why"),
        [(one.what, in_words(one.size), one.why) for one in plan.goes] or [("nothing", "", "")],
    )
    say("Remains:")
    say_table(
        ("what", "size", "why"), [(what, in_words(size), why) for what, size, why in plan.stays]
    )
    if not options.dry_run:
        freed, reasons = tidy.run(home, plan)
        for reason in reasons:
            say(f"Not removed, and tried again the next time: {reason}")
        say(f"{in_words(freed)} are free again.")
