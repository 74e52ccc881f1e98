"""A ledger with a history: what was charged when, by setting the clock that entries are stamped
with.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Entry, Ledger

START = datetime(2026, 1, 5, tzinfo=UTC)
WEEKLY = DiscreteGaussianDpEvent(6.0)


def opened(path: Path, **budgets: float) -> Ledger:
    """Populations of simulated people, by name and epsilon; each may be raised by a half."""
    ledger = Ledger(path)
    for name, epsilon in budgets.items():
        ledger.open_population(
            name,
            universe=name,
            nominal_size=1000,
            epsilon=epsilon,
            delta=1e-6,
            ceiling_epsilon=1.5 * epsilon,
            kind="simulated",
            reason="tests",
            by="tests",
        )
    return ledger


def charge(ledger: Ledger, population: str, *numbers: int) -> None:
    for number in numbers:
        ledger.reserve(
            f"{population}-{number}", population, WEEKLY, by="tests", source_label=f"week {number}"
        )


def weekly(entries: list[Entry]) -> list[Entry]:
    """The entries a week apart: only times are changed, for readers that look at times."""
    return [
        replace(entry, at=(START + timedelta(weeks=place)).isoformat(timespec="seconds"))
        for place, entry in enumerate(entries)
    ]
