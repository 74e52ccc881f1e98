"""The charges of a population: the releases that the ledger holds for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.catalog import Home
from pipeline.ledger import Entry, Ledger


def charged_releases(home: Home, population: str) -> set[str]:
    """Release ids with an entry for this population; empty where there is no ledger yet."""
    return {entry.release_id for entry in _ledger_entries(home, population) if entry.release_id}


@dataclass(frozen=True, kw_only=True)
class Charged:
    """The last charge of a population, and what became of it."""

    release_id: str
    label: str  # public label of the source
    state: str  # reserved, released or abandoned


def last_charged(home: Home, population: str, cohorts: Sequence[str] = ()) -> Charged | None:
    """The population's last release that was charged to just these cohorts (none: to everybody),
    published or not; None where there is none.
    """
    entries = _ledger_entries(home, population)
    charged = [
        entry
        for entry in entries
        if entry.kind == "reserved" and set(entry.facts.get("cohorts", ())) == set(cohorts)
    ]
    if not charged:
        return None
    release_id = str(charged[-1].release_id)
    return Charged(
        release_id=release_id,
        label=str(charged[-1].facts["source_label"]),
        state=str(Ledger(home.ledger).state(release_id)),
    )


def _ledger_entries(home: Home, population: str) -> list[Entry]:
    return Ledger(home.ledger).entries(population)
