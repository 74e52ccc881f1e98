"""The chain head stands on cards. It must tell nothing of what it is the hash of: moments, reasons
(privacy_rules.md 1).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from audit.findings import Check, Finding
from pipeline.ledger.chain import Chain
from pipeline.ledger.entries import GENESIS, Entry

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def _write_entries(path: Path) -> list[Entry]:
    """The same entries at the same moment: whoever guesses all of this knows all that is not
    random.
    """
    with (
        patch("pipeline.ledger.chain.datetime", SimpleNamespace(now=lambda _: MOMENT)),
        Chain(path).writing() as writer,
    ):
        for kind, reason in (
            ("opened", "first run"),
            ("reserved", "-"),
            ("training", "training began"),
            ("abandoned", "one patient stood out"),
        ):
            writer.append(
                population="people",
                release_id="one-1",
                kind=kind,
                by="somebody",
                facts={"reason": reason},
            )
    return Chain(path).entries()


def _hidden(folder: Path) -> Finding:
    first, second = _write_entries(folder / "first.db"), _write_entries(folder / "second.db")
    guessed = [
        one.kind for one, other in zip(first, second, strict=True) if one.facts != other.facts
    ]
    alike = [one.kind for one, other in zip(first, second, strict=True) if one.hash == other.hash]
    if alike or guessed or first[0].previous != GENESIS:
        return Finding(
            holds=False,
            message=(
                "whoever guesses an entry can tell by the chain head:"
                f" {', '.join(alike) or 'facts differ'}"
            ),
        )
    return Finding(
        holds=True,
        figures={"entries": len(first)},
        message=(
            f"{len(first)} entries with the same content at the same moment have different hashes"
        ),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name="a head tells nothing",
        family="frozen mechanisms",
        run=_hidden,
        asks=(
            "the chain head on a card cannot be used to try out when training began, or why a"
            " release was refused"
        ),
    ),
)
