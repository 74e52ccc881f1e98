"""What the ledger speaks of, and how its values are read from the entries: nothing here writes."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import dp_accounting as dpa

from pipeline.dp import events, renyi
from pipeline.ledger.entries import Entry
from pipeline.refusal import Refusal

# what an entry may make of a release
STATES = ("reserved", "released", "abandoned", "declined")
# kinds of entries after which somebody may have seen rows, or what was made of them
LOOKS = ("training", "abandoned", "declined")


class BudgetExceeded(Refusal):
    """The release would pass the budget. Nothing was recorded."""


class ReservationConflict(Refusal):
    """This release id already holds something else. Nothing was recorded."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """A group of people with one budget, as opened and raised."""

    name: str
    universe: str  # the people it draws on
    nominal_size: int  # declared, never counted
    epsilon: float  # as it stands; raised by entries only
    opened_epsilon: float
    delta: float  # for the population's whole life
    ceiling_epsilon: float  # no entry may raise epsilon above it
    kind: str  # simulated, public or confidential
    order: int  # the one Renyi order of its filter
    # the largest divergence at that order which converts to (epsilon, delta)
    limit_rdp: float
    # populations proved to hold none of these people; the proof is the entry's reason
    disjoint_from: tuple[str, ...] = ()
    # its people in groups that nobody ever leaves; none: all are one group
    cohorts: tuple[str, ...] = ()

    def overlaps(self, other: "Population") -> bool:
        """Whether one person may be in both: confidential ones overlap unless proved disjoint,
        others where the universe is the same (privacy_rules.md 16).
        """
        if other.name == self.name:
            return True
        if other.name in self.disjoint_from or self.name in other.disjoint_from:
            return False
        return self.universe == other.universe or self.kind == other.kind == "confidential"


@dataclass(frozen=True, kw_only=True)
class ChargeRequest:
    """What a release asks the ledger to charge."""

    release_id: str
    population: str
    event: dpa.DpEvent  # the joint mechanism, canonical
    source_label: str
    plan_sha256: str | None  # of the plan's canonical JSON; None where no plan was given
    cohorts: tuple[str, ...]  # whose rows it opens, sorted; none: everybody's
    seed: int | None  # of the extract's draw; None where none was given


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """One release's charge."""

    release_id: str
    population: str
    event: dpa.DpEvent  # the joint mechanism, canonical
    source_label: str
    rdp: float  # at the population's order
    epsilon: float  # of the release alone, by PLD, at the population's delta
    delta: float
    entry: int  # number of the ledger's entry
    at: str
    by: str
    entry_hash: str  # the chain head just after it
    plan_sha256: str | None  # of the plan's canonical JSON; None where no plan was given
    cohorts: tuple[str, ...] = ()  # whose rows it opens; none: everybody's
    seed: int | None = None  # of the extract's draw; None in entries of before seeds were bound


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Where a population stands."""

    population: str
    order: int
    spent_rdp: float  # of the cohort that was charged most
    limit_rdp: float
    # Odometer: what the sum at the fixed order converts to; 0 before the first release. A true
    # bound, but loose while little is spent: the conversion alone costs as much as many releases;
    # see share_spent.
    epsilon_spent: float
    epsilon_total: float
    delta: float
    n_releases: int  # charged, whatever became of them
    # how many releases like the last one still fit; None before the first
    more_like_last: int | None
    # Renyi divergence; empty for a population without cohorts
    spent_by_cohort: dict[str, float] = field(default_factory=dict)

    @property
    def share_spent(self) -> float:
        """Of the budget, 0 to 1: grows evenly with releases, so it is the figure for people."""
        return self.spent_rdp / self.limit_rdp


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What a release would cost. Nothing is recorded."""

    rdp: float
    epsilon: float
    left_rdp: float
    how_many_fit: int  # such releases, counting this one; 0: it would be refused


def populations_in(entries: Sequence[Entry]) -> dict[str, Population]:
    """Every population that the entries opened, as raised since: {name: population}."""
    populations: dict[str, Population] = {}
    for entry in entries:
        facts = entry.facts
        if entry.kind == "opened":
            facts.pop("reason")
            facts |= {name: tuple(facts.get(name, ())) for name in ("disjoint_from", "cohorts")}
            populations[entry.population] = Population(
                name=entry.population, opened_epsilon=facts["epsilon"], **facts
            )
        elif entry.kind == "raised":
            populations[entry.population] = replace(
                populations[entry.population],
                epsilon=facts["epsilon"],
                limit_rdp=facts["limit_rdp"],
            )
    return populations


def population_in(entries: Sequence[Entry], name: str) -> Population:
    """Raises Refusal where it was never opened."""
    populations = populations_in(entries)
    if name not in populations:
        raise Refusal(
            f"population {name} is not open in the ledger (open:"
            f" {', '.join(sorted(populations)) or 'none'}); open it with `python -m pipeline ledger"
            " open`"
        )
    return populations[name]


def reservations_in(entries: Sequence[Entry]) -> dict[str, Reservation]:
    """Every charge, in order: {release id: reservation}."""
    reservations = [reservation_of(entry) for entry in entries if entry.kind == "reserved"]
    return {reservation.release_id: reservation for reservation in reservations}


def state_in(entries: Sequence[Entry], release_id: str) -> str | None:
    """reserved, released, abandoned or declined; None where there is no such release."""
    return next(
        (
            entry.kind
            for entry in reversed(entries)
            if entry.release_id == release_id and entry.kind in STATES
        ),
        None,
    )


def unpublished_in(entries: Sequence[Entry], population: str) -> dict[str, str]:
    """The releases of a population of which somebody may have seen rows, or what was made of them,
    and which did not appear: {release id: declined, abandoned or training}.
    """
    last = {
        str(entry.release_id): entry.kind
        for entry in entries
        if entry.population == population and entry.kind in (*LOOKS, "released")
    }
    return {release_id: kind for release_id, kind in last.items() if kind in LOOKS}


def reservation_of(entry: Entry) -> Reservation:
    """The charge that an entry of the kind `reserved` records."""
    facts = entry.facts
    return Reservation(
        release_id=str(entry.release_id),
        population=entry.population,
        event=events.from_json(facts["event"]),
        source_label=facts["source_label"],
        rdp=facts["rdp"],
        epsilon=facts["epsilon"],
        delta=facts["delta"],
        entry=entry.number,
        at=entry.at,
        by=entry.by,
        entry_hash=entry.hash,
        plan_sha256=facts.get("plan_sha256"),
        cohorts=tuple(facts.get("cohorts", ())),
        seed=facts.get("seed"),
    )


def training_token_in(entries: Sequence[Entry], release_id: str) -> str | None:
    """The token with which its training began; `yes` for entries of before there were tokens, None
    where it has not begun.
    """
    return next(
        (
            str(entry.facts.get("token", "yes"))
            for entry in entries
            if entry.kind == "training" and entry.release_id == release_id
        ),
        None,
    )


def model_in(entries: Sequence[Entry], release_id: str) -> str | None:
    """The hash of the model that was trained under its charge; None before that."""
    return next(
        (
            str(entry.facts["model"])
            for entry in entries
            if entry.kind == "trained" and entry.release_id == release_id
        ),
        None,
    )


def keys_in(entries: Sequence[Entry]) -> dict[str, str]:
    """{population: fingerprint of the key by which its holdout is drawn}, where it was noted."""
    return {
        entry.population: str(entry.facts["holdout_key"])
        for entry in entries
        if entry.kind == "keyed"
    }


def marks_in(entries: Sequence[Entry], population: str) -> list[str]:
    """The marks of the population's register of cohorts that charges recorded, oldest first."""
    marks = (
        entry.facts.get("register")
        for entry in entries
        if entry.kind == "reserved" and entry.population == population
    )
    return [str(mark) for mark in marks if mark]


WHOLE = ""  # the one cohort of a population without cohorts


def spent_by_cohort(entries: Sequence[Entry], population: Population) -> dict[str, float]:
    """Renyi divergence at the fixed order, summed over every charge of each cohort; from the
    mechanisms themselves, not from figures beside them.

    A charge that names no cohort is one of all of them.
    """
    costs: dict[str, list[float]] = {cohort: [] for cohort in population.cohorts or (WHOLE,)}
    for entry in entries:
        if entry.kind == "reserved" and entry.population == population.name:
            cost, cohorts = _charge(entry.content, population.order)
            for cohort in cohorts or costs:
                costs[cohort].append(cost)
    return {cohort: math.fsum(charges) for cohort, charges in costs.items()}


def spent_by(
    entries: Sequence[Entry], population: Population, cohorts: Sequence[str] = ()
) -> float:
    """Of the cohort that was charged most, among `cohorts` or all: a patient is in one cohort for
    life, so no patient's loss is larger.
    """
    spent = spent_by_cohort(entries, population)
    return max(spent[cohort] for cohort in cohorts or spent)


@lru_cache(maxsize=4096)
def _charge(content: str, order: int) -> tuple[float, tuple[str, ...]]:
    """(cost, cohorts) of a charge. A pure function of the entry's content, cached: each reservation
    adds up all of them anew.
    """
    facts = json.loads(content)
    return renyi.rdp(events.from_json(facts["event"]), order), tuple(facts.get("cohorts", ()))


def how_many_fit(population: Population, spent: float, cost: float) -> int:
    """Releases of this cost that fit beside what is spent; both Renyi divergences at the order."""
    return max(0, math.floor((population.limit_rdp - spent) / cost))
