"""The transparency log is public. It must tell nothing of the entries that it commits to without
showing them: how many there are, when training began, why a release was refused (privacy_rules.md
1).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from audit.findings import Check, Finding
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger
from pipeline.transparency.checking import first_line, log_faults
from pipeline.transparency.making import charged_line

HASH = re.compile(r"[0-9a-f]{64}")
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
Log = list[dict[str, Any]]


def _log(path: Path, secret: int, *, is_busy: bool = False) -> Log:
    """Of a population with three charges, the second of which was not published.

    secret: the first salt of the ledger; all others are the same in every ledger, as if somebody
    had guessed them. is_busy: with many entries that are not shown between the charges.
    """
    salts = chain([secret], count(1))
    with (
        patch("pipeline.ledger.chain.datetime", SimpleNamespace(now=lambda _: MOMENT)),
        patch("pipeline.ledger.chain.new_salt", lambda: f"{next(salts):032x}"),
    ):
        ledger = Ledger(path)
        _open(ledger)
        log: Log = [first_line({})]
        for name, is_published in (("one-1", True), ("two-1", False), ("three-1", True)):
            event = DiscreteGaussianDpEvent(20.0)
            ledger.reserve(name, "people", event, by="audit", source_label="one label")
            if is_published:
                facts = {"model": "0" * 64, "content": "0" * 64, "dataset": "people"}
                log.append(charged_line(ledger, log, name, facts))
                ledger.commit(name)
            if is_busy:
                _add_others(ledger, name, is_published=is_published)
    return log


def _open(ledger: Ledger) -> None:
    ledger.open_population(
        "people",
        universe="nobody",
        nominal_size=1000,
        epsilon=3.0,
        delta=1e-6,
        ceiling_epsilon=5.0,
        kind="simulated",
        reason="an audit",
        by="audit",
    )


def _add_others(ledger: Ledger, name: str, *, is_published: bool) -> None:
    """What may stand between two charges: a training, a refusal, a no before a charge."""
    if not is_published:
        ledger.begin_training(name, "audit", "a token")
        ledger.note_model(name, "audit", "0" * 64)
        ledger.abandon(name, "one patient stood out", "audit")
    ledger.decline(f"{name}-not", "people", "audit")


def _shape(value: Any) -> Any:
    """What is not a hash, or a place among hashes."""
    if isinstance(value, dict):
        return {name: _shape(item) for name, item in value.items() if name != "place"}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return "a hash" if isinstance(value, str) and HASH.fullmatch(value) else value


def _commitments(log: Log) -> set[str]:
    """What stands for something that is not shown."""
    charges = [charge for line in log for charge in line.get("charges", ())]
    roots = {str(line["ledger"]) for line in log if "ledger" in line}
    return roots | {str(charge[part]) for charge in charges for part in ("name", "head")}


def _hidden(folder: Path) -> Finding:
    quiet, busy = (
        _log(folder / f"{name}.db", 1 << 100, is_busy=name == "busy") for name in ("quiet", "busy")
    )
    if faults := [*log_faults(quiet), *log_faults(busy)]:
        return Finding(holds=False, message=f"the log is not sound: {faults[0]}")
    if _shape(quiet) != _shape(busy):
        return Finding(
            holds=False,
            message="the log tells how many entries of other kinds stand between two charges",
        )
    other = _log(folder / "other.db", 2 << 100)
    if alike := _commitments(quiet) & _commitments(other):
        return Finding(
            holds=False,
            message=f"whoever guesses an entry can tell by the log: {len(alike)} hashes are no"
            " secret",
        )
    return Finding(
        holds=True,
        figures={"entries": len(quiet), "hashes": len(_commitments(quiet))},
        message=(
            f"{len(quiet)} entries of the log look the same whatever stands between the charges,"
            f" and none of {len(_commitments(quiet))} hashes comes again under another secret"
        ),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name="a log tells nothing",
        family="frozen mechanisms",
        run=_hidden,
        asks=(
            "the transparency log tells nothing of trainings and refusals, not even how many there"
            " were"
        ),
    ),
)
