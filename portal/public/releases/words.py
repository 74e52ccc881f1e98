"""What a release is, in a clinician's words, from its card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal.public.releases.published import Published

KINDS = (
    ("cells", "shares of patients"),
    ("survival_and_hazard_ratios", "survival and hazard ratios"),
)
VERDICTS = ("reliable", "indicative", "noise")


@dataclass(frozen=True)
class Tally:
    """How many figures of one kind have which verdict."""

    what: str
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def percent(self, verdict: str) -> float:
        return 100 * self.counts[verdict] / self.total


@dataclass(frozen=True)
class Span:
    """From how many patients on a count in one kind of tables says something."""

    what: str
    clear: str
    near: str


def tallies(card: Mapping[str, Any]) -> list[Tally]:
    """Empty for a model of before its counts were published."""
    evidence = card["evidence"] or {}
    every = [
        Tally(what, {verdict: evidence[key][verdict] for verdict in VERDICTS})
        for key, what in KINDS
        if key in evidence
    ]
    return [tally for tally in every if tally.total]


def spans(card: Mapping[str, Any]) -> list[Span]:
    """The least patients per kind of table, as the card has them."""
    tables = (card["evidence"] or {}).get("tables", {})
    return [
        Span(what, _span(some, "clear_from"), _span(some, "within_a_tenth_from"))
        for what, some in tables.items()
        if some
    ]


def _span(some: Sequence[Mapping[str, Any]], field: str) -> str:
    least, most = (pick(entry[field] for entry in some) for pick in (min, max))
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def verdict(card: Mapping[str, Any]) -> str:
    """One sentence on what the figures are good for."""
    every = tallies(card)
    total = sum(tally.total for tally in every)
    if not total:
        return "Its model is older than published evidence: take no figure from it."
    sure, some = (sum(t.counts[name] for t in every) for name in ("reliable", "indicative"))
    if sure >= total / 2:
        return "Most figures are within a tenth of the source's."
    if sure + some >= total / 2:
        return "Most figures show the source's direction and may be off by more than a tenth."
    return (
        f"Good for writing and testing code. Of {total:,} figures {sure:,} are reliable and"
        f" {some:,} indicative; the others do not rise above the noise."
    )


def times(epsilon: float) -> str:
    """By how much a conclusion may become likelier, as people say it."""
    factor = math.exp(epsilon)
    return f"{factor:.1f}" if factor < 10 else f"{factor:,.0f}"


def labels(one: Published) -> list[tuple[str, str]]:
    """The facts beside a release's name."""
    card = one.card
    facts = [("Patients", f"{card['synthetic_patients']:,} synthetic")]
    if card["extract_date"]:
        facts.append(("Observed until", card["extract_date"]))
    facts.append(("State of the source", card["source_label"] or "not named"))
    if card["drawn_from"]:
        facts.append(("Drawn from the model of", card["drawn_from"]))
    return facts


def capital(text: str) -> str:
    """The sentence with a capital first letter."""
    return text[:1].upper() + text[1:]
