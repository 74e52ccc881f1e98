"""Backups, their return, and what may be removed after its time, from the command line."""

from __future__ import annotations

import argparse
import getpass

from pipeline.catalog import Home
from pipeline.cli.console import say, say_table
from pipeline.ledger import Ledger
from pipeline.migrations import migrate
from pipeline.restricted.reserve import noted_chain_heads
from pipeline.upkeep import backup, check, restore, retention, tidy
from pipeline.upkeep.copies import in_words


def make_backup(options: argparse.Namespace) -> int:
    """0 where the backup is made and sound, or, with --check, where it is sound; else 1."""
    if not options.check:
        wishes = backup.Wishes(mlflow=options.with_mlflow, portal=not options.without_portal)
        contents = backup.make(Home.find(), options.folder, getpass.getuser(), wishes, say)
        size = sum(facts["bytes"] for facts in contents["files"].values())
        say(f"{len(contents['files'])} files, {in_words(size)}. Left out, and why:")
        say_table(("of state/", "why"), [tuple(pair) for pair in contents["left_out"]])
    return _check(options)


def _check(options: argparse.Namespace) -> int:
    made = check.read(options.folder)
    answers = list(check.faults(made))
    for question, fault in answers:
        say(f"  {'NO ' if fault else 'yes'}  {question}{': ' + fault if fault else ''}")
    sound = not any(fault for question, fault in answers if question not in check.WARNINGS)
    ledger = made.contents["ledger"]
    say(
        f"{options.folder} is {'sound' if sound else 'NOT sound'}: made {made.contents['made']},"
        f" {ledger['entries']} entries of the ledger up to {str(ledger['chain_head'])[:12]}…"
    )
    if sound:
        say("It is restricted: it holds keys, passwords and patients' rows.")
    return 0 if sound else 1


def restore_backup(options: argparse.Namespace) -> None:
    """Raises Refusal, and writes nothing, where the ledger of the backup is older than what was
    published, or nobody says what was.
    """
    home = Home.find()
    statement = restore.Statement(
        released=options.released,
        nothing_since=options.nothing_published_since,
        closed=options.closed,
    )
    remarks = restore.restore(home, options.folder, statement, say)
    migrate(home)
    for remark in remarks:
        say(remark)
    ledger = Ledger(home.ledger)
    if not options.closed:
        ledger.verify(noted_chain_heads(home))
    say(f"Restored: {len(ledger.entries())} entries of the ledger, in {home.root}.")


def tidy_up(options: argparse.Namespace) -> None:
    """What goes, or with --dry-run would go, and what remains and why."""
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
