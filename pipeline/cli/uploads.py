"""Uploads at the command line: list, check, delete."""

from __future__ import annotations

import argparse

from pipeline.catalog import Home
from pipeline.cli.console import say, say_table
from pipeline.refusal import Refusal
from pipeline.restricted.uploads import checking, findings
from pipeline.runs.uploads import deletion, records
from pipeline.runs.uploads.records import Upload


def show(options: argparse.Namespace) -> None:
    say_table(
        ("id", "dataset", "state", "label", "begun", "deleted on"),
        [
            (
                one.id,
                one.dataset,
                one.state,
                one.label or "-",
                one.created[:10],
                one.deletion["deleted"][:10] if one.deletion else one.delete_on,
            )
            for one in records.every(Home.find())
        ],
    )


def check(options: argparse.Namespace) -> None:
    """Says what is wrong by file and line; raises Refusal where the upload is refused for it."""
    home = Home.find()
    upload = checking.check(home, options.upload_id)
    for result in findings.of_upload(home, upload.id).values():
        say(f"{result.name}: {result.rows:,} rows")
        for (column, what), n in result.counts.most_common():
            say(f"  {column}: {n:,} times: {what}")
        for problem in result.problems:
            say(f"  line {problem.line or '-'}, {problem.column}: {problem.what}")
    if upload.reasons:
        raise Refusal(f"upload {upload.id} is refused: {'; '.join(upload.reasons)}")
    say(f"Upload {upload.id} is {upload.state}.")


def delete(options: argparse.Namespace) -> None:
    _say_deletion(deletion.delete(Home.find(), options.upload_id))


def delete_due(options: argparse.Namespace) -> None:
    """Raises Refusal where something is due and could not be deleted: it is tried again the next
    time.
    """
    gone, reasons = deletion.delete_due(Home.find())
    for upload in gone:
        _say_deletion(upload)
    if reasons:
        raise Refusal("; ".join(reasons))
    if not gone:
        say("Nothing is due.")


def _say_deletion(upload: Upload) -> None:
    account = upload.deletion or {"removed": [], "remains": []}
    say(f"Upload {upload.id} is deleted.")
    say_table(("removed", "what"), [tuple(one) for one in account["removed"]])
    say_table(("remains", "why"), [tuple(one) for one in account["remains"]])
