"""What the ledger answers: populations, charges, balances, quotes. Nothing here writes, and nothing
is answered from a broken chain.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dp_accounting as dpa

from pipeline.dp import accounting, renyi
from pipeline.ledger.admission import check_as_opened, check_cohorts
from pipeline.ledger.chain import Chain
from pipeline.ledger.entries import Entry, chain_head, check_chain, check_chain_heads
from pipeline.ledger.refusals import MOST_ABANDONED
from pipeline.ledger.values import (
    WHOLE,
    Balance,
    Population,
    Quote,
    Reservation,
    how_many_fit,
    keys_in,
    marks_in,
    model_in,
    population_in,
    populations_in,
    reservations_in,
    spent_by,
    spent_by_cohort,
    state_in,
    training_token_in,
    unpublished_in,
)


class LedgerReader:
    """The reading half of a `Ledger`: a file (SQLite), or a database of PostgreSQL by its URL.

    Every method raises Refusal where the chain is broken, or the ledger was moved.
    """

    def __init__(self, where: str | Path) -> None:
        self._chain = Chain(where)

    def population(self, name: str) -> Population:
        """Raises Refusal where it was never opened."""
        return population_in(self.entries(), name)

    def check_declared(self, declaration: Any) -> Population:
        """The population that a declaration names (its fields, and `name`).

        Raises Refusal where it is not open, or was opened with other facts.
        """
        population = self.population(declaration.name)
        check_as_opened(population, declaration)
        return population

    def populations(self) -> list[Population]:
        """All of them, in the order they were opened."""
        return list(populations_in(self.entries()).values())

    def is_open(self, name: str) -> bool:
        return name in populations_in(self.entries())

    def overlapping(self, name: str) -> list[Population]:
        """Every population that may share a patient with it, itself included: their (epsilon,
        delta) add up for one patient (privacy_rules.md 16).
        """
        population = self.population(name)
        return [other for other in self.populations() if other.overlaps(population)]

    def reservation(self, release_id: str) -> Reservation | None:
        return reservations_in(self.entries()).get(release_id)

    def reservations(self, population: str) -> list[Reservation]:
        """Every charge of a population, in order."""
        return _charges_of(population, self.entries())

    def charged_releases(self, population: str) -> set[str]:
        """Release ids with an entry for this population; empty while there is no ledger."""
        return {entry.release_id for entry in self.entries(population) if entry.release_id}

    def last_charge(self, population: str, cohorts: Sequence[str] = ()) -> Reservation | None:
        """The population's last charge to just these cohorts (none: to everybody), whatever became
        of the release; None where there is none.
        """
        charges = [
            reservation
            for reservation in self.reservations(population)
            if set(reservation.cohorts) == set(cohorts)
        ]
        return charges[-1] if charges else None

    def state(self, release_id: str) -> str | None:
        """reserved, released or abandoned; None where there is no such release."""
        return state_in(self.entries(), release_id)

    def balance(self, name: str, until: int | None = None) -> Balance:
        """Where a population stands, or stood after the entry `until`, with the budget of today.
        Raises Refusal where it was never opened.
        """
        entries = self.entries()
        population = population_in(entries, name)
        entries = [entry for entry in entries if until is None or entry.number <= until]
        charges = _charges_of(name, entries)
        spent, more = spent_by(entries, population), None
        if charges:
            last = charges[-1]
            more = how_many_fit(
                population,
                spent_by(entries, population, last.cohorts),
                renyi.rdp(last.event, population.order),
            )
        return Balance(
            population=name,
            order=population.order,
            spent_rdp=spent,
            limit_rdp=population.limit_rdp,
            epsilon_spent=(
                renyi.epsilon_of_rdp(population.order, spent, population.delta) if charges else 0.0
            ),
            epsilon_total=population.epsilon,
            delta=population.delta,
            n_releases=len(charges),
            more_like_last=more,
            spent_by_cohort=spent_by_cohort(entries, population) if population.cohorts else {},
        )

    def pld_epsilon(self, name: str) -> float:
        """For reports only, never for admission: the PLD of everything charged, valid had all
        releases been fixed beforehand.
        """
        entries = self.entries()
        population = population_in(entries, name)
        charges = _charges_of(name, entries)
        groups = [
            [charge.event for charge in charges if not charge.cohorts or cohort in charge.cohorts]
            for cohort in population.cohorts or (WHOLE,)
        ]
        return max(
            accounting.epsilon(dpa.ComposedDpEvent(group), population.delta) for group in groups
        )

    def quote(self, population: str, event: dpa.DpEvent, cohorts: Sequence[str] = ()) -> Quote:
        """What `event` would cost the population, and how many like it fit. Nothing is recorded."""
        entries = self.entries()
        opened = population_in(entries, population)
        check_cohorts(opened, cohorts)
        spent = spent_by(entries, opened, cohorts)
        cost = renyi.rdp(event, opened.order)
        return Quote(
            rdp=cost,
            epsilon=accounting.epsilon(event, opened.delta),
            left_rdp=max(0.0, opened.limit_rdp - spent),
            how_many_fit=how_many_fit(opened, spent, cost),
        )

    def refusals_left(self, population: str, release_id: str | None = None) -> int:
        """How many more of its releases may be refused, abandoned, or not appear after their
        training began (privacy_rules.md 4). One whose training runs counts until it appears, but
        not `release_id`, for which somebody asks.
        """
        unpublished = set(unpublished_in(self.entries(), population)) - {release_id}
        return max(0, MOST_ABANDONED - len(unpublished))

    def entries(self, population: str | None = None) -> list[Entry]:
        """Of one population, or all; in order."""
        entries = self._chain.entries()
        check_chain(entries)
        return [entry for entry in entries if population in (None, entry.population)]

    def chain_head(self) -> str:
        """Hash of the last entry: on cards and in MLflow, it pins everything before it."""
        return chain_head(self.entries())

    def verify(self, chain_heads: Mapping[str, str] | None = None) -> None:
        """Check the chain and, where given, that chain heads noted elsewhere are still in it:
        {where it was noted: chain head}.

        Raises Refusal that names the first fault: the entry that is not what was written, or the
        place whose chain head is gone.
        """
        check_chain_heads(self.entries(), chain_heads or {})

    def marks(self, population: str) -> list[str]:
        """The marks of the population's register of cohorts that its charges recorded, oldest
        first.
        """
        return marks_in(self.entries(), population)

    def keys(self) -> dict[str, str]:
        """{population: fingerprint of the permanent key by which its holdout is drawn}."""
        return keys_in(self.entries())

    def has_key(self) -> bool:
        """Whether anybody was ever held out, or charged for, so that a permanent key exists."""
        entries = self.entries()
        return bool(keys_in(entries) or reservations_in(entries))

    def has_training_begun(self, release_id: str) -> bool:
        """Whether mechanisms of this release may have run."""
        return training_token_in(self.entries(), release_id) is not None

    def trained_model(self, release_id: str) -> str | None:
        """The hash of the one model that its charge pays for; None before it is trained."""
        return model_in(self.entries(), release_id)

    def export(self) -> dict[str, Any]:
        """Everything, as JSON values: restricted. Also of a broken chain, to look into it."""
        entries = self._chain.entries()
        return {
            "head": chain_head(entries),
            "entries": [
                {**asdict(entry), "content": json.loads(entry.content)} for entry in entries
            ],
        }


def _charges_of(population: str, entries: Sequence[Entry]) -> list[Reservation]:
    return [
        reservation
        for reservation in reservations_in(entries).values()
        if reservation.population == population
    ]
