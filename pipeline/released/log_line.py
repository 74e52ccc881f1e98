"""Adds a release's line to the transparency log, in the commit that publishes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import Home, Release
from pipeline.dp import events
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.released import manifest, released_log
from pipeline.transparency.commitments import Line, canonical
from pipeline.transparency.making import charged_line, drawn_line
from pipeline.transparency.proof import proof_of


def is_outdated(release: Release, log: Sequence[Line]) -> bool:
    """Whether a card was made for another place in the log than the next one: it may say that less
    was spent than was.
    """
    card = files.read_json(release.card)
    return card is not None and card["privacy"].get("log_entry") != len(log)


def add_line(home: Home, tree: Path, release: Release, log: Sequence[Line]) -> None:
    """Adds the line of a release, which lies in `tree` (a clone of the released version store), to
    the log there, and brings the file with its proofs into the release. `log`: that for which the
    release was put together.

    Raises Refusal where another release was published since, or the ledger and the log differ.
    """
    store_log = released_log.read(tree)
    if store_log and store_log != list(log):
        raise Refusal(
            "another release was published meanwhile, and the card counts without it: publish"
            " again, which puts the release together anew"
        )
    facts, card = manifest.read(release.root), files.read_json(release.card)
    line, mechanism = _line(Ledger(home.ledger), log, release, facts, card["privacy"])
    grown = [*log, line]
    files.write_text(
        tree / released_log.LOG, "".join(canonical(one).decode() + "\n" for one in grown)
    )
    files.write_json(release.transparency, proof_of(grown, len(store_log), mechanism))
    manifest.add_file(release.root, release.transparency)


def _line(
    ledger: Ledger,
    log: Sequence[Line],
    release: Release,
    facts: Mapping[str, Any],
    privacy: Mapping[str, Any],
) -> tuple[Line, dict[str, Any] | None]:
    """The line, and the event that was charged."""
    release_id, drawn_from = str(facts["release_id"]), facts["drawn_from"]
    own = {
        "dataset": facts["dataset"],
        "content": manifest.content_sha256(release.root),
        "model": files.folder_sha256(release.model),
    }
    if drawn_from is not None:
        own["population"] = privacy["population"]
        return drawn_line(release_id, str(drawn_from), own), None
    line = charged_line(ledger, log, release_id, own)
    reservation = ledger.reservation(release_id)
    assert reservation is not None
    return line, events.to_json(reservation.event)
