"""The privacy ledger: every release about a population draws on one budget, here and nowhere else.

Whoever needs the ledger imports its public names from here.
"""

from pipeline.ledger.ledger import (
    Balance,
    BudgetExceeded,
    Entry,
    Ledger,
    Population,
    Quote,
    Reservation,
    ReservationConflict,
)

__all__ = [
    "Balance",
    "BudgetExceeded",
    "Entry",
    "Ledger",
    "Population",
    "Quote",
    "Reservation",
    "ReservationConflict",
]
