"""The most that anybody can learn about one patient from all releases together, as figures of the
card.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.dp.membership import FALSE_ALARMS, largest_power
from pipeline.released import card_patients


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one population adds for a patient who may be in it. Renyi divergences at its order."""

    population: str
    charges: int  # counted in `rdp`, published or not
    order: int
    rdp: float  # by the releases so far
    rdp_ceiling: float  # in the population's whole life, whatever anybody decides


def membership_facts(shares: Sequence[Share]) -> dict[str, Any]:
    """Over populations that may hold the same patient, the card's own included; also in words.

    Divergences of one order add up, adaptively chosen releases included (privacy_rules.md 14). A
    divergence grows with its order (van Erven and Harremoes 2014, Theorem 3), so the sum of all
    bounds is one at the smallest of the orders.
    """
    order = min(share.order for share in shares)
    rdp, ceiling = (
        math.fsum(getattr(share, name) for share in shares) for name in ("rdp", "rdp_ceiling")
    )
    facts = {
        "populations": [asdict(share) for share in shares],
        "order": order,
        "rdp": rdp,
        "rdp_ceiling": ceiling,
        "so_far": _powers(order, rdp),
        "ceiling": _powers(order, ceiling),
    }
    return facts | {"words": card_patients.sentences(facts)}


def _powers(order: int, divergence: float) -> list[dict[str, float]]:
    """The largest chance of finding a patient who is in the data, for each false alarm."""
    return [
        {"false_alarm": alarm, "found_at_most": largest_power(order, divergence, alarm)}
        for alarm in FALSE_ALARMS
    ]
