"""The budgets of populations, as they are opened and raised."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.dp import renyi
from pipeline.ledger.admission import (
    check_declaration,
    check_disjoint,
    check_key,
    check_raise,
    differences,
)
from pipeline.ledger.chain import Chain
from pipeline.ledger.values import Population, keys_in, population_in, populations_in
from pipeline.refusal import Refusal


class BudgetWriter:
    """The part of a `Ledger` that enters what a population may spend in its life."""

    _chain: Chain

    def open_population(
        self,
        name: str,
        *,
        universe: str,
        nominal_size: int,
        epsilon: float,
        delta: float,
        ceiling_epsilon: float,
        kind: str,
        reason: str,
        by: str,
        disjoint_from: Sequence[str] = (),
        cohorts: Sequence[str] = (),
    ) -> Population:
        """Open a population's budget. The same declaration again changes nothing. With
        `disjoint_from`, the reason is the proof.

        `cohorts` compose in parallel: only where each patient's cohort is fixed at first sight, in
        a register (privacy_rules.md 16).

        Raises Refusal for an impossible declaration, or where another one stands under this name.
        """
        disjoint = tuple(sorted(set(disjoint_from)))
        facts = {
            "universe": universe,
            "nominal_size": nominal_size,
            "epsilon": float(epsilon),
            "delta": float(delta),
            "ceiling_epsilon": float(ceiling_epsilon),
            "kind": kind,
            "disjoint_from": disjoint,
            "cohorts": tuple(cohorts),
        }
        check_declaration(name, facts, reason)
        order, limit = renyi.rdp_bound(epsilon, delta)
        with self._chain.writing() as writer:
            populations = populations_in(writer.entries)
            if name in populations:
                _check_same_population(populations[name], facts)
                return populations[name]
            check_disjoint(name, disjoint, populations, reason)
            facts |= {"order": order, "limit_rdp": limit, "reason": reason}
            writer.append(population=name, release_id=None, kind="opened", by=by, facts=facts)
            return population_in(writer.entries, name)

    def raise_budget(self, name: str, *, epsilon: float, reason: str, by: str) -> Population:
        """A larger budget for a population, at the same Renyi order: a new, weaker statement about
        its people. The same raise again changes nothing.

        Raises Refusal for a budget that is lower, or above the ceiling that the population was
        opened with.
        """
        with self._chain.writing() as writer:
            population = population_in(writer.entries, name)
            if population.epsilon == epsilon > population.opened_epsilon:
                return population
            check_raise(population, epsilon, reason)
            facts = {
                "epsilon": float(epsilon),
                "limit_rdp": renyi.rdp_limit(population.order, epsilon, population.delta),
                "reason": reason,
            }
            writer.append(population=name, release_id=None, kind="raised", by=by, facts=facts)
            return population_in(writer.entries, name)

    def note_key(self, name: str, fingerprint: str, by: str) -> None:
        """Record by which permanent key the population's holdout is drawn: its fingerprint, the
        first time. The same call twice changes nothing.

        Raises Refusal where it is drawn by another key, or the population is not open.
        """
        with self._chain.writing() as writer:
            population_in(writer.entries, name)
            first = keys_in(writer.entries).get(name)
            check_key(name, first, fingerprint)
            if first is None:
                facts = {"holdout_key": fingerprint}
                writer.append(population=name, release_id=None, kind="keyed", by=by, facts=facts)


def _check_same_population(population: Population, facts: Mapping[str, Any]) -> None:
    if differing := differences(population, facts):
        raise Refusal(
            f"population {population.name} is open with {'; '.join(differing)}: a budget is not"
            " changed by opening it again; use another population name, or raise the budget"
            " (`python -m pipeline ledger raise`)"
        )
