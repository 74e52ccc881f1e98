"""The warning that a population's budget runs low. It reads the ledger and the settings, never a row, and stops nothing."""
from __future__ import annotations

from typing import Any

import dp_accounting as dpa

from pipeline.ledger import Balance, Ledger, Population
from pipeline.params import PrivacyParams


def after_charge(ledger: Ledger, population: str, event: dpa.DpEvent, declared: PrivacyParams) -> dict[str, Any]:
    """Where a population stands once `event` is charged: {population, share_left, more_like_this, warning}; the warning is None while all is well."""
    more = ledger.quote(population, event).how_many_fit
    opened, balance = ledger.population(population), ledger.balance(population)
    return {"population": population, "share_left": 1 - balance.share_spent, "more_like_this": more,
            "warning": low(opened, balance, more, declared)}


def low(population: Population, balance: Balance, more: int | None, declared: PrivacyParams) -> str | None:
    """What is low, where, and what to do; None where nothing is. `more`: releases like the last one that still fit, None before the first."""
    left = 1 - balance.share_spent
    if left >= declared.warn_below_share and (more is None or more >= declared.warn_below_releases):
        return None
    fit = "" if more is None else f", and {more or 'no'} more release{'' if more == 1 else 's'} like the last one fit{'s' if more == 1 else ''}"
    return (f"the budget of population {population.name} runs low: {left:.1%} of epsilon {balance.epsilon_total:g} at delta {balance.delta:g} is left"
            f"{fit}. What to do: draw further extracts from a published model (free); ask for less with --epsilon; {_raise(population)}. "
            "`python -m pipeline budget-report` shows how it was spent")


def _raise(population: Population) -> str:
    if population.epsilon < population.ceiling_epsilon:
        return (f"or have a custodian raise the budget, at most to its ceiling of {population.ceiling_epsilon:g} (`python -m pipeline ledger "
                "raise`), which is a new and weaker statement")
    return "the budget stands at its ceiling and cannot be raised"
