"""Where every population stands, and how it came there: read from the ledger's entries, whose
mechanisms are accounted anew.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.dp import renyi
from pipeline.ledger.entries import Entry
from pipeline.ledger.reading import LedgerReader
from pipeline.ledger.values import Balance, Population, reservation_of, spent_by

PACE_OF = 5  # releases: how fast the budget goes is read off the last ones
SHORTEST_PACE = timedelta(days=1)  # charges closer together say nothing about a pace
FARTHEST = timedelta(days=36525)
STATES = ("reserved", "released", "abandoned")  # of a charge


@dataclass(frozen=True, kw_only=True)
class Point:
    """The balance just after an entry that moved it."""

    at: datetime  # UTC
    kind: str  # opened, raised or reserved
    # at the population's order, all charges so far, of the cohort that was charged most
    spent_rdp: float
    limit_rdp: float  # in force then
    epsilon_total: float  # of the budget in force then
    epsilon_spent: float  # what the sum converts to; 0 before the first charge
    n_releases: int

    @property
    def share_spent(self) -> float:
        return self.spent_rdp / self.limit_rdp


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One charged release."""

    release_id: str
    source_label: str
    state: str  # reserved, released or abandoned
    epsilon: float  # of the release alone, by PLD
    rdp: float  # at the population's order
    cohorts: tuple[str, ...]  # whose rows it opens; none: everybody's
    after: Point


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One population."""

    population: Population
    balance: Balance
    # for reports only: true had all releases been fixed beforehand; it admits nothing
    pld_epsilon: float
    points: tuple[Point, ...]  # the first is the opening
    charges: tuple[Charge, ...]
    overlapping: tuple[Population, ...]  # itself included: their budgets add up for one patient

    @property
    def states(self) -> dict[str, int]:
        """How many charged releases are in each state."""
        counts = Counter(charge.state for charge in self.charges)
        return {state: counts[state] for state in STATES}

    def runs_out(self, now: datetime) -> datetime | None:
        """When the limit is reached if releases go on as the last few did; None where there is no
        pace yet, or within a century no end.

        Where the next release is overdue at `now` by that pace, the pace counts as slower.
        """
        recent = [charge.after for charge in self.charges[-PACE_OF - 1 :]]
        if len(recent) < 2 or recent[-1].at - recent[0].at < SHORTEST_PACE:
            return None
        spent, until = (
            recent[-1].spent_rdp - recent[0].spent_rdp,
            max(recent[-1].at, now - (recent[-1].at - recent[0].at) / (len(recent) - 1)),
        )
        if spent <= 0:  # the last charges were of cohorts that are not the fullest one
            return None
        days = max(0.0, self.balance.limit_rdp - self.balance.spent_rdp) / (
            spent / ((until - recent[0].at) / timedelta(days=1))
        )
        return until + timedelta(days=days) if days < FARTHEST.days else None


def standings(ledger: LedgerReader) -> list[Standing]:
    """Every population, in the order they were opened.

    Raises Refusal where the chain is broken: nothing is reported from a broken ledger.
    """
    ledger.verify()
    return [_standing(ledger, population) for population in ledger.populations()]


def _standing(ledger: LedgerReader, population: Population) -> Standing:
    entries = ledger.entries(population.name)
    points = balance_over_time(entries, population)
    return Standing(
        population=population,
        balance=ledger.balance(population.name),
        pld_epsilon=ledger.pld_epsilon(population.name),
        points=points,
        charges=_charges(entries, points, population.order),
        overlapping=tuple(ledger.overlapping(population.name)),
    )


def balance_over_time(entries: list[Entry], population: Population) -> tuple[Point, ...]:
    """A point per entry that opened, raised or charged the budget of one population; `entries` are
    its own.
    """
    points: list[Point] = []
    for place, entry in enumerate(entries):
        if entry.kind not in ("opened", "raised", "reserved"):
            continue
        facts, before = entry.facts, points[-1] if points else None
        count = (before.n_releases if before else 0) + (entry.kind == "reserved")
        spent = spent_by(entries[: place + 1], population)
        if before and entry.kind == "reserved":
            limit, total = before.limit_rdp, before.epsilon_total
        else:
            limit, total = float(facts["limit_rdp"]), float(facts["epsilon"])
        odometer = renyi.epsilon_of_rdp(population.order, spent, population.delta) if count else 0.0
        points.append(
            Point(
                at=datetime.fromisoformat(entry.at),
                kind=entry.kind,
                spent_rdp=spent,
                limit_rdp=limit,
                epsilon_total=total,
                epsilon_spent=odometer,
                n_releases=count,
            )
        )
    return tuple(points)


def _charges(entries: list[Entry], points: tuple[Point, ...], order: int) -> tuple[Charge, ...]:
    states = {entry.release_id: entry.kind for entry in entries if entry.kind in STATES}
    reservations = [reservation_of(entry) for entry in entries if entry.kind == "reserved"]
    after_charges = [point for point in points if point.kind == "reserved"]
    return tuple(
        Charge(
            release_id=reservation.release_id,
            source_label=reservation.source_label,
            state=states[reservation.release_id],
            epsilon=reservation.epsilon,
            rdp=renyi.rdp(reservation.event, order),
            cohorts=reservation.cohorts,
            after=after,
        )
        for reservation, after in zip(reservations, after_charges, strict=True)
    )
