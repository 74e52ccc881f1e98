"""The privacy ledger: every release about a population draws on one budget, here and nowhere else.

Whoever needs the ledger imports its public names from here, and a test holds that; only `audit/`
goes past them, because it patches the code that it checks.
"""

from pipeline.ledger.admission import check_key, check_register, cohorts_in_words
from pipeline.ledger.entries import Entry
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.refusals import REFUSAL_REASON
from pipeline.ledger.standing import Charge, Point, Standing, standings
from pipeline.ledger.values import (
    Balance,
    BudgetExceeded,
    Population,
    Quote,
    Reservation,
    ReservationConflict,
)
from pipeline.ledger.warning import budget_after_charge, low_budget_warning

__all__ = [
    "REFUSAL_REASON",
    "Balance",
    "BudgetExceeded",
    "Charge",
    "Entry",
    "Ledger",
    "Point",
    "Population",
    "Quote",
    "Reservation",
    "ReservationConflict",
    "Standing",
    "budget_after_charge",
    "check_key",
    "check_register",
    "cohorts_in_words",
    "low_budget_warning",
    "standings",
]
