"""What the ledger refuses before it compares a charge with the budget (`charging` does that), each
with what to do about it. Nothing here writes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline.dp import events
from pipeline.dp.gaussian import gaussian_epsilon
from pipeline.ledger.values import (
    ChargeRequest,
    Population,
    Reservation,
    ReservationConflict,
)
from pipeline.population_limits import KINDS, largest_delta
from pipeline.refusal import Refusal

NAME = re.compile(r"[A-Za-z0-9_-]+")
SHORTEST_PROOF = 60  # characters
# {what a dataset's declaration says of its population: the field of the population in the ledger};
# a budget raised since is the ledger's alone to say.
FIELD_OF_FACT = {
    "universe": "universe",
    "nominal_size": "nominal_size",
    "epsilon": "opened_epsilon",
    "delta": "delta",
    "ceiling_epsilon": "ceiling_epsilon",
    "kind": "kind",
    "cohort_names": "cohorts",
}


def check_same(reservation: Reservation, state: str | None, request: ChargeRequest) -> None:
    """Raises ReservationConflict where the release id is used up, or stands for something else."""
    if state != "reserved":
        raise ReservationConflict(
            f"release id {reservation.release_id} was used before: it is {state} (entry"
            f" {reservation.entry}, {reservation.at}); choose a new release id"
        )
    if reservation.population != request.population:
        raise ReservationConflict(
            f"release id {reservation.release_id} holds a charge of population"
            f" {reservation.population}, asked for {request.population}; choose a new release id"
        )
    if reservation.source_label != request.source_label:
        raise ReservationConflict(
            f"release id {reservation.release_id} was reserved for the source"
            f" {reservation.source_label!r}, asked for {request.source_label!r}; choose a new"
            " release id"
        )
    if events.canonical_string(reservation.event) != events.canonical_string(request.event):
        raise ReservationConflict(
            f"release id {reservation.release_id} holds another mechanism"
            f" (RDP({reservation.rdp:.4g}), epsilon {reservation.epsilon:.4g}): put the parameters"
            " back as they were, or choose a new release id"
        )
    if reservation.cohorts != request.cohorts:
        raise ReservationConflict(
            f"release id {reservation.release_id} was charged to"
            f" {cohorts_in_words(reservation.cohorts)}, asked for"
            f" {cohorts_in_words(request.cohorts)}; choose a new release id"
        )
    if reservation.plan_sha256 != request.plan_sha256:
        raise ReservationConflict(
            f"release id {reservation.release_id} holds another plan, though its mechanism costs"
            " the same: put the parameters back as they were, or choose a new release id"
        )
    if reservation.seed not in (None, request.seed):
        raise ReservationConflict(
            f"release id {reservation.release_id} was charged for a draw with the seed"
            f" {reservation.seed}, asked for {request.seed}: put sample.seed back as it was, or"
            " choose a new release id"
        )


def cohorts_in_words(cohorts: Sequence[str]) -> str:
    """For messages."""
    return f"the cohorts {', '.join(cohorts)}" if cohorts else "everybody"


def over_budget(
    release_id: str, population: Population, spent: float, cost: float, epsilon: float
) -> str:
    """The message of a release that does not fit. `spent`, `cost`: Renyi divergence at the
    population's order; `epsilon`: of the release alone.
    """
    left = max(0.0, population.limit_rdp - spent)
    smaller = (
        gaussian_epsilon(math.sqrt(2 * left / population.order), population.delta)
        if left > 0
        else 0.0
    )
    advice = (
        f"an epsilon of about {0.98 * smaller:.2f} would still fit"
        if smaller > 0.01
        else "nothing more fits"
    )
    return (
        f"{release_id} was refused and nothing was charged. It costs {cost:.4f} of Renyi divergence"
        f" at order {population.order} (epsilon {epsilon:.3f} on its own); population"
        f" {population.name} has {left:.4f} left of {population.limit_rdp:.4f} (epsilon"
        f" {population.epsilon:g}, delta {population.delta:g}). What to do: {advice}; draw further"
        " extracts from a published model (free)."
    )


def check_declaration(name: str, facts: Mapping[str, Any], reason: str) -> None:
    """Raises Refusal where a population of these facts cannot be opened, for this reason."""
    if name.strip() and not NAME.fullmatch(name):
        raise Refusal(
            f"population {name!r}: a name is letters, digits, - and _ (files and figures are called"
            " by it)"
        )
    if not name.strip() or not facts["universe"].strip() or not reason.strip():
        raise Refusal(f"population {name!r} needs a name, a universe of people and a reason")
    if facts["kind"] not in KINDS:
        raise Refusal(
            f"population {name}: kind must be one of {', '.join(KINDS)}, got {facts['kind']!r}"
        )
    if not (isinstance(facts["nominal_size"], int) and facts["nominal_size"] >= 1):
        raise Refusal(
            f"population {name}: nominal_size must be a positive whole number, got"
            f" {facts['nominal_size']}"
        )
    _check_cohort_names(name, facts, reason)
    _check_budget(name, facts)


def _check_cohort_names(name: str, facts: Mapping[str, Any], reason: str) -> None:
    cohorts = facts["cohorts"]
    if (
        len(cohorts) == 1
        or len(set(cohorts)) < len(cohorts)
        or not all(cohort.strip() for cohort in cohorts)
    ):
        raise Refusal(
            f"population {name}: cohorts must be none, or at least two different names, got"
            f" {list(cohorts)}"
        )
    if cohorts and facts["kind"] == "confidential" and len(reason.strip()) < SHORTEST_PROOF:
        raise Refusal(
            f"population {name}: cohorts need a proof, in the reason, of at least {SHORTEST_PROOF}"
            " characters, that a person bears the same id at every refresh; where persons cannot"
            " be matched, nobody's cohort can be kept (privacy_rules.md 16)"
        )


def _check_budget(name: str, facts: Mapping[str, Any]) -> None:
    if not facts["epsilon"] <= facts["ceiling_epsilon"]:
        raise Refusal(
            f"population {name}: ceiling_epsilon {facts['ceiling_epsilon']} lies below epsilon"
            f" {facts['epsilon']}"
        )
    largest = largest_delta(facts["nominal_size"])
    if not facts["delta"] <= largest:
        raise Refusal(
            f"population {name}: delta {facts['delta']:g} is too large for"
            f" {facts['nominal_size']} people; at most {largest:g} (1e-6, and 0.1 / nominal"
            " size)"
        )


def check_disjoint(
    name: str, disjoint_from: Sequence[str], populations: Collection[str], proof: str
) -> None:
    """Raises Refusal where a population is called disjoint from one that is not open, or without a
    proof that can be read later.
    """
    if missing := sorted(set(disjoint_from) - set(populations)):
        raise Refusal(
            f"population {name} cannot be disjoint from {', '.join(missing)}: not open in the"
            f" ledger (open: {', '.join(sorted(populations)) or 'none'})"
        )
    if disjoint_from and len(proof.strip()) < SHORTEST_PROOF:
        raise Refusal(
            f"population {name}: that nobody in it is in {', '.join(disjoint_from)} needs a proof,"
            f" in the reason, of at least {SHORTEST_PROOF} characters: who is in the one, who is in"
            " the other, why nobody is in both. Without one, they overlap"
        )


def check_raise(population: Population, epsilon: float, reason: str) -> None:
    """Raises Refusal where a budget may not be raised to `epsilon`."""
    if not reason.strip():
        raise Refusal(
            f"raising the budget of population {population.name} needs a reason: it weakens what"
            " was promised to its people"
        )
    if not epsilon > population.epsilon:
        raise Refusal(
            f"population {population.name} has a budget of epsilon {population.epsilon:g}, asked"
            f" for {epsilon:g}: a budget is only ever raised"
        )
    if not epsilon <= population.ceiling_epsilon:
        raise Refusal(
            f"population {population.name} was opened with a ceiling of epsilon"
            f" {population.ceiling_epsilon:g}, asked for {epsilon:g}: no entry passes the ceiling."
            " Nothing was changed"
        )


def check_cohorts(population: Population, cohorts: Sequence[str]) -> None:
    """Raises Refusal where a charge names a cohort that the population does not have."""
    if unknown := sorted(set(cohorts) - set(population.cohorts)):
        raise Refusal(
            f"population {population.name} has no cohort {', '.join(unknown)} (it has:"
            f" {', '.join(population.cohorts) or 'none'}); nothing was charged"
        )


def check_register(population: str, charged: Sequence[str], register: Sequence[str]) -> None:
    """Raises Refusal where the register of cohorts is not the one of earlier charges, as it was
    then or later. Marks, oldest first: those that the charges recorded, and those it has.
    """
    if charged and charged[-1] not in register:
        raise Refusal(
            f"population {population}: the register of cohorts here is an old copy, or another one"
            " than the last charge noted; patients might move between cohorts. Restore the newest"
            " backup of state/restricted/cohorts; hosts must share it. Nothing was charged"
        )


def check_key(population: str, first: str | None, fingerprint: str | None) -> None:
    """Raises Refusal where a population's holdout was drawn by another key than this one. None:
    there is no fingerprint.
    """
    if first not in (None, fingerprint):
        raise Refusal(
            f"population {population}: the ledger notes that its holdout is drawn by another"
            f" permanent key (fingerprint {str(first)[:12]}…) than"
            f" {'the one here' if fingerprint else 'none, and there is none here'}: other people"
            " would be held out. Restore state/keys from the backup of the ledger and keys; hosts"
            " that share a ledger must share it. Nothing was read or charged"
        )


def check_as_opened(opened: Population, declaration: Any) -> None:
    """Raises Refusal where a declaration's population is not what was opened under its name.
    `declaration` has the fields of `FIELD_OF_FACT`.
    """
    facts = {name: getattr(declaration, name) for name in FIELD_OF_FACT}
    if differing := differences(opened, facts):
        raise Refusal(
            f"population {opened.name} is open in the ledger with {'; '.join(differing)}: what the"
            " ledger says binds. Put the declaration back as it was, or open another population"
            " under a new name"
        )


def differences(opened: Population, facts: Mapping[str, Any]) -> list[str]:
    """One line for each fact that is not as opened."""
    opened_facts = {name: getattr(opened, FIELD_OF_FACT.get(name, name)) for name in facts}
    return [
        f"{name} {opened_facts[name]!r}, asked for {value!r}"
        for name, value in facts.items()
        if opened_facts[name] != value
    ]
