"""What the ledger speaks of, and how its values are read from the entries: nothing here writes."""
import math
from dataclasses import dataclass

import dp_accounting as dpa

from pipeline.dp import accounting, events
from pipeline.ledger_chain import Entry


class BudgetExceeded(Exception):
    """The release would pass the budget. Nothing was recorded."""


class ReservationConflict(Exception):
    """This release id already holds something else. Nothing was recorded."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """A group of people with one budget, as opened."""
    name: str
    universe: str           # the people it draws on
    nominal_size: int       # declared, never counted
    epsilon: float
    delta: float            # for the population's whole life
    ceiling_epsilon: float  # no later entry may raise epsilon above it
    kind: str               # simulated, public or confidential
    order: int              # the one Renyi order of its filter
    limit_rdp: float        # the largest divergence at that order which converts to (epsilon, delta)
    disjoint_from: tuple[str, ...] = ()  # populations proved to hold none of these people; the proof is the entry's reason

    def overlaps(self, other: "Population") -> bool:
        """Whether one person may be in both: confidential ones overlap unless proved disjoint, others where the universe is the same (rule 16)."""
        if other.name == self.name:
            return True
        if other.name in self.disjoint_from or self.name in other.disjoint_from:
            return False
        return self.universe == other.universe or self.kind == other.kind == "confidential"


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """One release's charge."""
    release_id: str
    population: str
    event: dpa.DpEvent     # the joint mechanism, canonical
    source_label: str
    rdp: float             # at the population's order
    epsilon: float         # of the release alone, by PLD, at the population's delta
    delta: float
    entry: int             # number of the ledger's entry
    at: str
    by: str
    entry_hash: str        # the ledger's head just after it
    plan_sha256: str | None  # of the plan's canonical JSON; None where no plan was given


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Where a population stands."""
    population: str
    order: int
    spent_rdp: float
    limit_rdp: float
    epsilon_spent: float         # odometer: what the sum at the fixed order converts to; 0 before the first release. A true bound,
                                 # but loose while little is spent: the conversion alone costs as much as many releases; see share_spent
    epsilon_total: float
    delta: float
    n_releases: int              # charged, whatever became of them
    more_like_last: int | None   # how many releases like the last one still fit; None before the first

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


def populations_in(entries: list[Entry]) -> dict[str, Population]:
    opened = {}
    for entry in entries:
        if entry.kind == "opened":
            facts = entry.facts
            facts.pop("reason")
            facts["disjoint_from"] = tuple(facts.get("disjoint_from", ()))
            opened[entry.population] = Population(name=entry.population, **facts)
    return opened


def reservations_in(entries: list[Entry]) -> dict[str, Reservation]:
    return {held.release_id: held for held in (reservation_of(entry) for entry in entries if entry.kind == "reserved")}


def reservation_of(entry: Entry) -> Reservation:
    facts = entry.facts
    return Reservation(release_id=str(entry.release_id), population=entry.population, event=events.from_json(facts["event"]),
                       source_label=facts["source_label"], rdp=facts["rdp"], epsilon=facts["epsilon"], delta=facts["delta"],
                       entry=entry.number, at=entry.at, by=entry.by, entry_hash=entry.hash, plan_sha256=facts.get("plan_sha256"))


def began_in(entries: list[Entry], release_id: str) -> bool:
    return any(entry.kind == "training" and entry.release_id == release_id for entry in entries)


def spent_by(entries: list[Entry], population: Population) -> float:
    """Renyi divergence at the fixed order, summed over every charge; from the mechanisms themselves, not from figures noted beside them."""
    charged = (held for held in reservations_in(entries).values() if held.population == population.name)
    return math.fsum(accounting.rdp(held.event, population.order) for held in charged)


def how_many_fit(population: Population, spent: float, cost: float) -> int:
    return max(0, math.floor((population.limit_rdp - spent) / cost))
