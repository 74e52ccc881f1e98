"""What the ledger refuses, each with what to do about it: nothing here writes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import dp_accounting as dpa

from pipeline.dp import accounting, events
from pipeline.ledger.chain import Entry
from pipeline.ledger.values import Population, Reservation, ReservationConflict
from pipeline.refusal import Refusal

LARGEST_DELTA = 1e-6
NAME = re.compile(r"[A-Za-z0-9_-]+")
KINDS = ("simulated", "public", "confidential")
# the reason noted where a person said no; what the person thought stays with the person
REFUSED = "refused"
# of a population's releases, over its whole life: each may be a person's answer that rows
# influenced
MOST_ABANDONED = 5
SHORTEST_PROOF = 60  # characters
# What a dataset's declaration says of its population, and the field of the opened one; a budget
# raised since is the ledger's alone to say.
DECLARED = {
    "universe": "universe",
    "nominal_size": "nominal_size",
    "epsilon": "opened_epsilon",
    "delta": "delta",
    "ceiling_epsilon": "ceiling_epsilon",
    "kind": "kind",
    "cohort_names": "cohorts",
}


def check_same(
    held: Reservation,
    state: str | None,
    population: str,
    event: dpa.DpEvent,
    source_label: str,
    plan_sha256: str | None,
    cohorts: tuple[str, ...],
) -> None:
    """ReservationConflict where the release id is used up, or stands for something else."""
    if state != "reserved":
        raise ReservationConflict(
            f"release id {held.release_id} was used before: it is {state} (entry {held.entry},"
            f" {held.at}); choose a new release id"
        )
    if held.population != population:
        raise ReservationConflict(
            f"release id {held.release_id} holds a charge of population {held.population}, asked"
            f" for {population}; choose a new release id"
        )
    if held.source_label != source_label:
        raise ReservationConflict(
            f"release id {held.release_id} was reserved for the source {held.source_label!r}, asked"
            f" for {source_label!r}; choose a new release id"
        )
    if events.canonical_string(held.event) != events.canonical_string(event):
        raise ReservationConflict(
            f"release id {held.release_id} holds another mechanism (RDP({held.rdp:.4g}), epsilon"
            f" {held.epsilon:.4g}): put the parameters back as they were, or choose a new"
            " release id"
        )
    if held.cohorts != cohorts:
        raise ReservationConflict(
            f"release id {held.release_id} was charged to {named(held.cohorts)}, asked for"
            f" {named(cohorts)}; choose a new release id"
        )
    if held.plan_sha256 != plan_sha256:
        raise ReservationConflict(
            f"release id {held.release_id} holds another plan, though its mechanism costs the same:"
            " put the parameters back as they were, or choose a new release id"
        )


def named(cohorts: Sequence[str]) -> str:
    """For messages."""
    return f"the cohorts {', '.join(cohorts)}" if cohorts else "everybody"


def over_budget(
    release_id: str, population: Population, spent: float, cost: float, epsilon: float
) -> str:
    left = max(0.0, population.limit_rdp - spent)
    smaller = (
        accounting.gaussian_epsilon(math.sqrt(2 * left / population.order), population.delta)
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


def check_declaration(name: str, declared: Mapping[str, Any], reason: str) -> None:
    if name.strip() and not NAME.fullmatch(name):
        raise Refusal(
            f"population {name!r}: a name is letters, digits, - and _ (files and figures are called"
            " by it)"
        )
    if not name.strip() or not declared["universe"].strip() or not reason.strip():
        raise Refusal(f"population {name!r} needs a name, a universe of people and a reason")
    if declared["kind"] not in KINDS:
        raise Refusal(
            f"population {name}: kind must be one of {', '.join(KINDS)}, got {declared['kind']!r}"
        )
    if not (isinstance(declared["nominal_size"], int) and declared["nominal_size"] >= 1):
        raise Refusal(
            f"population {name}: nominal_size must be a positive whole number, got"
            f" {declared['nominal_size']}"
        )
    cohorts = declared["cohorts"]
    if (
        len(cohorts) == 1
        or len(set(cohorts)) < len(cohorts)
        or not all(cohort.strip() for cohort in cohorts)
    ):
        raise Refusal(
            f"population {name}: cohorts must be none, or at least two different names, got"
            f" {list(cohorts)}"
        )
    if cohorts and declared["kind"] == "confidential" and len(reason.strip()) < SHORTEST_PROOF:
        raise Refusal(
            f"population {name}: cohorts need a proof, in the reason, of at least {SHORTEST_PROOF}"
            " characters, that a person bears the same id at every refresh; where persons cannot"
            " be matched, nobody's cohort can be kept (privacy_rules.md 16)"
        )
    if not declared["epsilon"] <= declared["ceiling_epsilon"]:
        raise Refusal(
            f"population {name}: ceiling_epsilon {declared['ceiling_epsilon']} lies below epsilon"
            f" {declared['epsilon']}"
        )
    largest = min(LARGEST_DELTA, 0.1 / declared["nominal_size"])
    if not declared["delta"] <= largest:
        raise Refusal(
            f"population {name}: delta {declared['delta']:g} is too large for"
            f" {declared['nominal_size']} people; at most {largest:g} (1e-6, and 0.1 / nominal"
            " size)"
        )


def check_disjoint(name: str, disjoint_from: Sequence[str], known: set[str], proof: str) -> None:
    """ValueError where a population is called disjoint from one that is not open, or without a
    proof that can be read later.
    """
    if missing := sorted(set(disjoint_from) - known):
        raise Refusal(
            f"population {name} cannot be disjoint from {', '.join(missing)}: not open in the"
            f" ledger (open: {', '.join(sorted(known)) or 'none'})"
        )
    if disjoint_from and len(proof.strip()) < SHORTEST_PROOF:
        raise Refusal(
            f"population {name}: that nobody in it is in {', '.join(disjoint_from)} needs a proof,"
            f" in the reason, of at least {SHORTEST_PROOF} characters: who is in the one, who is in"
            " the other, why nobody is in both. Without one, they overlap"
        )


def check_raise(population: Population, epsilon: float, reason: str) -> None:
    """ValueError where a budget may not be raised to `epsilon`."""
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
    """ValueError where a charge names a cohort that the population does not have."""
    if unknown := sorted(set(cohorts) - set(population.cohorts)):
        raise Refusal(
            f"population {population.name} has no cohort {', '.join(unknown)} (it has:"
            f" {', '.join(population.cohorts) or 'none'}); nothing was charged"
        )


def check_register(population: str, noted: Sequence[str], register: Sequence[str]) -> None:
    """ValueError where the register of cohorts is not the one that charges noted, as it was then or
    later.
    """
    if noted and noted[-1] not in register:
        raise Refusal(
            f"population {population}: the register of cohorts here is an old copy, or another one"
            " than the last charge noted; patients might move between cohorts. Restore the newest"
            " backup of state/restricted/cohorts; hosts must share it. Nothing was charged"
        )


def check_answers(population: str, release_id: str, entries: Sequence[Entry]) -> None:
    """ValueError where persons have said no so often that their answers could tell of rows
    (privacy_rules.md 4). Every abandonment counts.
    """
    said_no = sum(entry.kind == "abandoned" and entry.population == population for entry in entries)
    if said_no >= MOST_ABANDONED:
        raise Refusal(
            f"{release_id} was refused and nothing was charged: {said_no} releases of population"
            f" {population} were refused or abandoned since it was opened, and {MOST_ABANDONED} is"
            " the most there may be, as each is an answer by somebody who may have seen rows. What"
            " to do: draw further extracts from a published model (free), or have a person decide"
            " to open a new population with a budget of its own, which adds up with this one"
        )


def check_as_opened(opened: Population, declared: Any) -> None:
    """ValueError where a declaration's population is not what was opened under its name. `declared`
    has the fields of `DECLARED`.
    """
    if differing := differences(opened, {name: getattr(declared, name) for name in DECLARED}):
        raise Refusal(
            f"population {opened.name} is open in the ledger with {'; '.join(differing)}: what the"
            " ledger says binds. Put the declaration back as it was, or open another population"
            " under a new name"
        )


def differences(opened: Population, declared: Mapping[str, Any]) -> list[str]:
    """One line for each fact that is not as opened."""
    held = {name: getattr(opened, DECLARED.get(name, name)) for name in declared}
    return [
        f"{name} {held[name]!r}, asked for {value!r}"
        for name, value in declared.items()
        if held[name] != value
    ]
