"""`python -m pipeline audit`: the checks of audit/, one after the other, with what each
found.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import files
from pipeline.cli.console import say
from pipeline.refusal import Refusal

if TYPE_CHECKING:
    from audit.findings import Answer, Check

FAILED = 1


def run(options: argparse.Namespace) -> int:
    """0 where every check holds, 1 where one does not. Needs no state and reads no patient's row:
    the checks make their own people.
    """
    from audit.every import CHECKS

    if unknown := sorted(set(options.only) - {check.name for check in CHECKS}):
        raise Refusal(
            f"there is no check {', '.join(unknown)}; there are:"
            f" {', '.join(check.name for check in CHECKS)}"
        )
    if options.list:
        for check in CHECKS:
            say(f"{check.name}{' (long)' if check.long else ''}, {check.family}: {check.asks}")
        return 0
    if options.out is not None:
        files.refuse_existing(options.out)  # before an hour's work, and again after it
    answers = _perform(
        [
            check
            for check in CHECKS
            if (check.name in options.only if options.only else options.long or not check.long)
        ]
    )
    failures = [answer.check.name for answer in answers if not answer.finding.holds]
    if options.out is not None:
        _write(options.out, answers)
        say(f"The findings are in {options.out}.")
    if failures:
        say(
            f"{len(failures)} of {len(answers)} checks do not hold: {', '.join(failures)}. Publish"
            " nothing made by this code until they do."
        )
        return FAILED
    say(f"All {len(answers)} checks hold.")
    return 0


def _perform(checks: Sequence[Check]) -> list[Answer]:
    """The answers of the checks, each said as soon as it is there."""
    from audit.findings import perform

    answers = []
    # what the stages say of made-up people is of no use here
    logging.getLogger("pipeline").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="audit-") as scratch:
        for number, check in enumerate(checks, start=1):
            say(f"[{number}/{len(checks)}] {check.name} ({check.family}): {check.asks}")
            folder = Path(scratch) / str(number)
            folder.mkdir()
            answer = perform(check, folder)
            answers.append(answer)
            say(
                f"    {'holds' if answer.finding.holds else 'DOES NOT HOLD'} in"
                f" {answer.seconds:.1f} s: {answer.finding.message}"
            )
    return answers


def _write(path: Path, answers: Sequence[Answer]) -> None:
    from pipeline.catalog import project_root
    from pipeline.runs.programs import code_version

    findings = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": code_version(project_root()),
        "holds": all(answer.finding.holds for answer in answers),
        "checks": [
            {
                "name": answer.check.name,
                "family": answer.check.family,
                "asks": answer.check.asks,
                "long": answer.check.long,
                "holds": answer.finding.holds,
                "said": answer.finding.message,
                "figures": dict(answer.finding.figures),
                "seconds": round(answer.seconds, 1),
            }
            for answer in answers
        ],
    }
    with files.new_file(path) as file:
        files.write_json(file, findings)
