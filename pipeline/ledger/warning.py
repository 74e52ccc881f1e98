"""The warning that a population's budget runs low. It reads the ledger and the settings, never a
row, and stops nothing.
"""

from __future__ import annotations

from typing import Any

from pipeline.ledger.reading import LedgerReader
from pipeline.ledger.values import Population, Reservation
from pipeline.params import PrivacyParams


def budget_after_charge(
    ledger: LedgerReader, reservation: Reservation, settings: PrivacyParams
) -> dict[str, Any]:
    """Where the people of a charge stand now: {population, share_left, more_like_this, warning};
    the warning is None while all is well.
    """
    population = ledger.population(reservation.population)
    quote = ledger.quote(reservation.population, reservation.event, reservation.cohorts)
    left = quote.left_rdp / population.limit_rdp
    return {
        "population": reservation.population,
        "share_left": left,
        "more_like_this": quote.how_many_fit,
        "warning": low_budget_warning(
            population, left, quote.how_many_fit, settings, reservation.cohorts
        ),
    }


def low_budget_warning(
    population: Population,
    left: float,
    more: int | None,
    settings: PrivacyParams,
    cohorts: tuple[str, ...] = (),
) -> str | None:
    """What is low, where, and what to do; None where nothing is.

    `left`: share of the budget, 0 to 1; `more`: releases like the last one that still fit, None
    before the first.
    """
    if left >= settings.warn_below_share and (more is None or more >= settings.warn_below_releases):
        return None
    fit = (
        ""
        if more is None
        else (
            f", and {more or 'no'} more release{'' if more == 1 else 's'} like the last one"
            f" fit{'s' if more == 1 else ''}"
        )
    )
    whose = f", cohorts {', '.join(cohorts)}," if cohorts else ""
    return (
        f"the budget of population {population.name}{whose} runs low: {left:.1%} of epsilon"
        f" {population.epsilon:g} at delta {population.delta:g} is left{fit}. What to do: draw"
        " further extracts from a published model (free); ask for less with --epsilon;"
        f" {_raise(population)}. `python -m pipeline budget-report` shows how it was spent"
    )


def _raise(population: Population) -> str:
    if population.epsilon < population.ceiling_epsilon:
        return (
            "or have a custodian raise the budget, at most to its ceiling of"
            f" {population.ceiling_epsilon:g} (`python -m pipeline ledger raise`), which is a new"
            " and weaker statement"
        )
    return "the budget stands at its ceiling and cannot be raised"
