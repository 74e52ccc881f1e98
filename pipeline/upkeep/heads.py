"""Which entries of the ledger somebody knows of: the heads of its chain on cards, wherever releases
lie.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import CARD, STORE
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs import version_stores


@dataclass(frozen=True)
class CardFacts:
    """What a card tells of the ledger that its release was charged to. `charge`: the release id
    that was charged.
    """

    where: str
    head: str
    population: str
    charge: str


def of_cards(place: Path) -> list[CardFacts]:
    """Of every release in a clone of the released version store, in that store itself, in a folder
    of extracts, in one extract, or in a released zone. Raises Refusal where there is none.
    """
    cards = cards_in(place)
    if not cards:
        raise Refusal(
            f"{place} holds no release: name a clone of the released version store, or a folder"
            " with extracts, as they were published last"
        )
    return cards


def cards_in(place: Path) -> list[CardFacts]:
    """The same; none where there is no release."""
    cards = {where: card for where, card in _cards(place.absolute()) if card.get("privacy")}
    return [_facts(where, card) for where, card in cards.items()]


def unknown_to(ledger: Ledger, cards: list[CardFacts]) -> list[CardFacts]:
    """The cards whose release, or whose head, the ledger does not hold: it is older than they
    are.
    """
    hashes = {entry.hash for entry in ledger.entries()}
    return [
        card for card in cards if card.head not in hashes or ledger.reservation(card.charge) is None
    ]


def lost(cards: list[CardFacts]) -> str:
    """What an older ledger means, for people."""
    populations = ", ".join(sorted({card.population for card in cards}))
    places = ", ".join(card.where for card in cards[:3]) + (" and more" if len(cards) > 3 else "")
    return (
        f"this backup's ledger is older than {places}: it has lost charges. Use a newer backup. If"
        f" there is none, the population(s) {populations} are closed: charge them no more, and no"
        " other one of this ledger, for entries about any may be lost. What is published stays"
        " valid, and draws from it are free"
    )


def _facts(where: str, card: dict[str, Any]) -> CardFacts:
    privacy = card["privacy"]
    return CardFacts(
        where=where,
        head=str(privacy["chain_head"]),
        population=str(privacy.get("population", "of an older card")),
        charge=str(card.get("drawn_from") or card["release_id"]),
    )


def _cards(place: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in (place, place / STORE):
        if (folder / "HEAD").is_file() or (folder / ".git").exists():
            yield from _cards_of_tags(folder)
    for pattern in (CARD, f"*/{CARD}", f"*/*/{CARD}"):
        for path in sorted(place.glob(pattern)):
            yield f"the card of {path.parent.name}", files.read_json(path)


def _cards_of_tags(store: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tree of a tag holds the last release of every dataset, so most cards are in many."""
    cards: set[str] = set()
    for tag in version_stores.tags(store):
        for line in version_stores.git("ls-tree", "-r", tag, cwd=store).splitlines():
            facts, _, path = line.partition("\t")
            blob = facts.split()[2]
            if path.endswith(f"/{CARD}") and blob not in cards:
                cards.add(blob)
                card = json.loads(version_stores.git("cat-file", "blob", blob, cwd=store))
                yield f"the card of {card.get('release_id', tag)}", card
