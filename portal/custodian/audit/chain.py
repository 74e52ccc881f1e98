"""The ledger as an auditor reads it: its entries, and whether the chain holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.catalog import Home
from pipeline.ledger import Entry, Ledger, Standing, standings
from pipeline.refusal import Refusal
from pipeline.restricted.reserve import noted_chain_heads


@dataclass(frozen=True)
class Check:
    """What became of a check of the chain."""

    fault: str  # empty: the chain is whole and holds every head that was noted
    head: str
    places: int  # where a chain head was noted


def check(home: Home, *, with_mlflow: bool = False) -> Check:
    """Whether the chain is whole and holds the chain heads noted on cards and by runs; with
    `with_mlflow`, which takes seconds, those in MLflow too.
    """
    ledger, heads = Ledger(home.ledger), noted_chain_heads(home)
    if with_mlflow:
        from pipeline.services.tracking import tracked_chain_heads  # loads MLflow

        heads = heads | tracked_chain_heads(home)
    try:
        ledger.verify(heads)
        return Check("", ledger.chain_head(), len(heads))
    except Refusal as error:
        return Check(str(error), "", len(heads))


def entries(home: Home) -> Sequence[Entry]:
    """All of them, newest first. Of a broken chain too: it is what an auditor looks into."""
    document = Ledger(home.ledger).export()
    return [
        Entry(**{**entry, "content": json.dumps(entry["content"])})
        for entry in reversed(document["entries"])
    ]


def in_words(entry: Entry) -> Mapping[str, str]:
    """What an entry says, without the mechanisms that it lists one by one."""
    return {
        name: f"{value:g}" if isinstance(value, float) else _text(value)
        for name, value in entry.facts.items()
        if name not in ("event", "token") and value not in ([], None)
    }


def _text(value: Any) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)


def known_standings(home: Home) -> tuple[str, Sequence[Standing]]:
    """The chain head, and where every population stands. Accounted once per state of the ledger.

    Raises Refusal where the chain is broken.
    """
    head = Ledger(home.ledger).chain_head()
    return head, _standings_at(home.ledger, head)


@lru_cache(maxsize=4)
def _standings_at(where: str, _head: str) -> Sequence[Standing]:
    return tuple(standings(Ledger(where)))
