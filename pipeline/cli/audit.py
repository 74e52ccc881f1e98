"""`python -m pipeline audit`: the checks of pipeline/audit, one after the other, with what each
found.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pipeline import files
from pipeline.cli.console import say
from pipeline.refusal import Refusal

FAILED = 1


def run(options: argparse.Namespace) -> int:
    """0 where every check holds, 1 where one does not. Needs no state and reads no patient's row:
    the checks make their own people.
    """
    from audit.every import CHECKS
    from audit.findings import perform
    from pipeline.catalog import project_root
    from pipeline.services.tracking import code_version

    if unknown := sorted(set(options.only) - {check.name for check in CHECKS}):
        raise Refusal(
            f"there is no check {', '.join(unknown)}; there are:"
            f" {', '.join(check.name for check in CHECKS)}"
        )
    chosen = [
        check
        for check in CHECKS
        if (check.name in options.only if options.only else options.long or not check.long)
    ]
    if options.list:
        for check in CHECKS:
            say(f"{check.name}{' (long)' if check.long else ''}, {check.family}: {check.asks}")
        return 0
    answers = []
    # what the stages say of made-up people is of no use here
    logging.getLogger("pipeline").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="audit-") as scratch:
        for number, check in enumerate(chosen, start=1):
            say(f"[{number}/{len(chosen)}] {check.name} ({check.family}): {check.asks}")
            folder = Path(scratch) / str(number)
            folder.mkdir()
            answer = perform(check, folder)
            answers.append(answer)
            say(
                f"    {'holds' if answer.finding.held else 'DOES NOT HOLD'} in {answer.seconds:.1f}"
                f" s: {answer.finding.said}"
            )
    broken = [answer.check.name for answer in answers if not answer.finding.held]
    if options.out is not None:
        files.write_json(
            options.out,
            {
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "code_version": code_version(project_root()),
                "holds": not broken,
                "checks": [
                    {
                        "name": a.check.name,
                        "family": a.check.family,
                        "asks": a.check.asks,
                        "long": a.check.long,
                        "holds": a.finding.held,
                        "said": a.finding.said,
                        "figures": dict(a.finding.figures),
                        "seconds": round(a.seconds, 1),
                    }
                    for a in answers
                ],
            },
        )
        say(f"What was found is in {options.out}.")
    if broken:
        say(
            f"{len(broken)} of {len(answers)} checks do not hold: {', '.join(broken)}. Publish"
            " nothing made by this code until they do."
        )
        return FAILED
    say(f"All {len(answers)} checks hold.")
    return 0
