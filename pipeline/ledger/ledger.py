"""The privacy ledger: every release about a population draws on one budget, here and nowhere else.

Budget is spent when reserved: a crash can waste it and can never overspend it. Admission is a Renyi
filter at one order, fixed when the population was opened (Feldman and Zrnic 2021,
arxiv.org/abs/2008.11193; privacy_rules.md 14): the sum over all entries, whatever became of the
release, stays within the limit. What happened to a release is read from its entries; no entry ever
changes.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dp_accounting as dpa

from pipeline.dp import accounting, events
from pipeline.ledger.admission import (
    check_answers,
    check_as_opened,
    check_cohorts,
    check_declaration,
    check_disjoint,
    check_raise,
    check_register,
    check_same,
    differences,
    over_budget,
)
from pipeline.ledger.chain import GENESIS, Chain, Entry, check_chain, state_in
from pipeline.ledger.values import (
    WHOLE,
    Balance,
    BudgetExceeded,
    Population,
    Quote,
    Reservation,
    ReservationConflict,
    began_in,
    how_many_fit,
    marks_in,
    population_in,
    populations_in,
    reservation_of,
    reservations_in,
    spent_by,
    spent_by_cohort,
)
from pipeline.refusal import Refusal

__all__ = [
    "Balance",
    "BudgetExceeded",
    "Entry",
    "Ledger",
    "Population",
    "Quote",
    "Reservation",
    "ReservationConflict",
]


class Ledger:
    """A file (SQLite), or a database of PostgreSQL by its URL. All methods may be called from
    several processes, or hosts, at once.

    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> ledger = Ledger(Path(folder.name) / "ledger.db")
    >>> _ = ledger.open_population("trial", universe="nobody", nominal_size=1000, epsilon=3.0, delta=1e-6, ceiling_epsilon=3.0,
    ...                            kind="simulated", reason="an example", by="docs")
    >>> _ = ledger.reserve("trial-1", "trial", events.DiscreteGaussianDpEvent(4.0), by="docs", source_label="1")
    >>> ledger.commit("trial-1")
    >>> ledger.state("trial-1"), ledger.balance("trial").more_like_last
    ('released', 4)
    >>> folder.cleanup()
    """

    def __init__(self, where: str | Path) -> None:
        self._chain = Chain(where)

    # -- writing
    # -----------------------------------------------------------------------------------------------------------------------

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

        Raises:
            ValueError: an impossible declaration, or another one under this name.
        """
        proved = tuple(sorted(set(disjoint_from)))
        declared = {
            "universe": universe,
            "nominal_size": nominal_size,
            "epsilon": float(epsilon),
            "delta": float(delta),
            "ceiling_epsilon": float(ceiling_epsilon),
            "kind": kind,
            "disjoint_from": proved,
            "cohorts": tuple(cohorts),
        }
        check_declaration(name, declared, reason)
        order, limit = accounting.rdp_bound(epsilon, delta)
        with self._chain.writing() as writer:
            if opened := populations_in(writer.entries).get(name):
                if differing := differences(opened, declared):
                    raise Refusal(
                        f"population {name} is open with {'; '.join(differing)}: a budget is not"
                        " changed by opening it again; use another population name, or raise the"
                        " budget (`python -m pipeline ledger raise`)"
                    )
                return opened
            check_disjoint(name, proved, set(populations_in(writer.entries)), reason)
            writer.append(
                population=name,
                release_id=None,
                kind="opened",
                by=by,
                facts={**declared, "order": order, "limit_rdp": limit, "reason": reason},
            )
            return population_in(writer.entries, name)

    def raise_budget(self, name: str, *, epsilon: float, reason: str, by: str) -> Population:
        """A larger budget for a population, at the same Renyi order: a new, weaker statement about
        its people. The same raise again changes nothing.

        Raises ValueError for a budget that is lower, or above the ceiling that the population was
        opened with.
        """
        with self._chain.writing() as writer:
            opened = population_in(writer.entries, name)
            if opened.epsilon == epsilon > opened.opened_epsilon:
                return opened
            check_raise(opened, epsilon, reason)
            writer.append(
                population=name,
                release_id=None,
                kind="raised",
                by=by,
                facts={
                    "epsilon": float(epsilon),
                    "limit_rdp": accounting.rdp_limit(opened.order, epsilon, opened.delta),
                    "reason": reason,
                },
            )
            return population_in(writer.entries, name)

    def reserve(
        self,
        release_id: str,
        population: str,
        event: dpa.DpEvent,
        *,
        by: str,
        source_label: str,
        plan_sha256: str | None = None,
        cohorts: Sequence[str] = (),
        register: Sequence[str] = (),
    ) -> Reservation:
        """Charge the joint mechanism of a release before it reads a row. The same call twice
        charges once.

        `plan_sha256` binds the charge to one plan: an event may stand for several. `cohorts`: whose
        rows it opens; none: everybody's. `register`: the marks of the register of cohorts, oldest
        first; one that lacks the mark noted last is an old copy, or another host's.

        Raises:
            BudgetExceeded, ReservationConflict: and the ledger is as it was.
            ValueError: no such population, an event that cannot be accounted, or too many releases
                that persons refused.
        """
        event = events.canonical(event)
        if not event.events:
            raise Refusal(
                f"{release_id}: the mechanism is empty; a release that reads rows must charge"
                " something"
            )
        opened, named = self.population(population), tuple(sorted(set(cohorts)))
        check_cohorts(opened, named)
        cost = accounting.rdp(event, opened.order)
        epsilon = accounting.epsilon(event, opened.delta)  # before the lock: it takes a moment
        if not math.isfinite(epsilon):
            raise Refusal(
                f"{release_id}: at delta {opened.delta:g} the mechanism keeps no finite epsilon, so"
                " it was refused; add noise"
            )
        with self._chain.writing() as writer:
            if held := reservations_in(writer.entries).get(release_id):
                check_same(
                    held,
                    state_in(writer.entries, release_id),
                    population,
                    event,
                    source_label,
                    plan_sha256,
                    named,
                )
                return held
            check_answers(population, release_id, writer.entries)
            check_register(population, marks_in(writer.entries, population), register)
            # its budget may have been raised since
            opened = population_in(writer.entries, population)
            spent = spent_by(writer.entries, opened, named)
            if not spent + cost <= opened.limit_rdp:
                raise BudgetExceeded(over_budget(release_id, opened, spent, cost, epsilon))
            entry = writer.append(
                population=population,
                release_id=release_id,
                kind="reserved",
                by=by,
                facts={
                    "event": events.to_json(event),
                    "source_label": source_label,
                    "order": opened.order,
                    "rdp": cost,
                    "epsilon": epsilon,
                    "delta": opened.delta,
                    "plan_sha256": plan_sha256,
                    **({"cohorts": named} if named else {}),
                    **({"register": register[-1]} if register else {}),
                },
            )
            return reservation_of(entry)

    def begin_training(self, release_id: str, by: str, token: str) -> None:
        """Record, before the first row is read, that the release's mechanisms run. The same call
        twice changes nothing.

        `token`, a random text, stands beside the measurements: one charge pays for one set of them,
        wherever else the release is started.

        Raises ValueError where the release is not reserved, or closed, or its training began with
        another token.
        """
        with self._chain.writing() as writer:
            state = state_in(writer.entries, release_id)
            if state != "reserved":
                raise Refusal(
                    f"{release_id} is {state or 'not reserved'} in the ledger, so nothing is"
                    " trained for it; use a new release id"
                )
            began = began_in(writer.entries, release_id)
            if began is not None and began != token:
                raise Refusal(
                    f"{release_id}: training began once, with measurements that are not here: to"
                    " measure again would be another charge. Use a new release id, or put"
                    " restricted/checkpoints back"
                )
            if began is None:
                held = reservations_in(writer.entries)[release_id]
                writer.append(
                    population=held.population,
                    release_id=release_id,
                    kind="training",
                    by=by,
                    facts={"token": token},
                )

    def training_began(self, release_id: str) -> bool:
        """Whether mechanisms of this release may have run."""
        return began_in(self._checked(), release_id) is not None

    def commit(self, release_id: str, facts: Mapping[str, Any] | None = None) -> None:
        """Record that the release left the restricted zone. `facts` (JSON) are public. The same
        call twice changes nothing.
        """
        self._close(release_id, "released", dict(facts or {}), by=None)

    def abandon(self, release_id: str, reason: str, by: str) -> None:
        """Record that the release will not appear. It stays charged: its mechanism may have run."""
        if not reason.strip():
            raise Refusal(f"abandoning {release_id} needs a reason")
        self._close(release_id, "abandoned", {"reason": reason}, by=by)

    def _close(self, release_id: str, kind: str, facts: dict[str, Any], by: str | None) -> None:
        with self._chain.writing() as writer:
            held = reservations_in(writer.entries).get(release_id)
            if held is None:
                raise Refusal(f"{release_id} was never reserved, so it cannot be {kind}")
            state = state_in(writer.entries, release_id)
            if state == "reserved":
                writer.append(
                    population=held.population,
                    release_id=release_id,
                    kind=kind,
                    by=by or held.by,
                    facts=facts,
                )
                return
            known = next(
                entry.facts for entry in reversed(writer.entries) if entry.release_id == release_id
            )
            if (state, known) != (kind, facts):
                raise ReservationConflict(
                    f"{release_id} is already {state}, with {known}; asked for {kind} with {facts}"
                )

    def move_to(self, other: "Ledger", by: str) -> None:
        """All entries, as they were written, into another, empty ledger; this one is closed by an
        entry. The same again changes nothing.

        Raises ValueError where the other one holds anything else.
        """
        self._chain.move_to(other._chain, by)

    # -- reading
    # -----------------------------------------------------------------------------------------------------------------------

    def population(self, name: str) -> Population:
        """ValueError where it was never opened."""
        return population_in(self._checked(), name)

    def check_declared(self, declared: Any) -> Population:
        """The population that a declaration names (its fields, and `name`). ValueError where it is
        not open, or was opened with other facts.
        """
        opened = self.population(declared.name)
        check_as_opened(opened, declared)
        return opened

    def populations(self) -> list[Population]:
        """All of them, in the order they were opened."""
        return list(populations_in(self._checked()).values())

    def is_open(self, name: str) -> bool:
        return name in populations_in(self._checked())

    def overlapping(self, name: str) -> list[Population]:
        """Every population that may share a patient with it, itself included: their (epsilon,
        delta) add up for one patient (privacy rule 16).
        """
        asked = self.population(name)
        return [population for population in self.populations() if population.overlaps(asked)]

    def reservation(self, release_id: str) -> Reservation | None:
        return reservations_in(self._checked()).get(release_id)

    def reservations(self, population: str) -> list[Reservation]:
        """Every charge of a population, in order."""
        return [
            held
            for held in reservations_in(self._checked()).values()
            if held.population == population
        ]

    def state(self, release_id: str) -> str | None:
        """reserved, released or abandoned; None where there is no such release."""
        return state_in(self._checked(), release_id)

    def balance(self, name: str) -> Balance:
        entries = self._checked()
        population = population_in(entries, name)
        charged = [held for held in reservations_in(entries).values() if held.population == name]
        spent, more = spent_by(entries, population), None
        if charged:
            last = charged[-1]
            more = how_many_fit(
                population,
                spent_by(entries, population, last.cohorts),
                accounting.rdp(last.event, population.order),
            )
        return Balance(
            population=name,
            order=population.order,
            spent_rdp=spent,
            limit_rdp=population.limit_rdp,
            epsilon_spent=(
                accounting.epsilon_of_rdp(population.order, spent, population.delta)
                if charged
                else 0.0
            ),
            epsilon_total=population.epsilon,
            delta=population.delta,
            n_releases=len(charged),
            more_like_last=more,
            spent_by_cohort=spent_by_cohort(entries, population) if population.cohorts else {},
        )

    def pld_epsilon(self, name: str) -> float:
        """For reports only, never for admission: the PLD of everything charged, valid had all
        releases been fixed beforehand.
        """
        entries = self._checked()
        population = population_in(entries, name)
        charged = [held for held in reservations_in(entries).values() if held.population == name]
        groups = [
            [held.event for held in charged if not held.cohorts or cohort in held.cohorts]
            for cohort in population.cohorts or (WHOLE,)
        ]
        return max(
            accounting.epsilon(dpa.ComposedDpEvent(group), population.delta) for group in groups
        )

    def quote(self, population: str, event: dpa.DpEvent, cohorts: Sequence[str] = ()) -> Quote:
        """What `event` would cost the population, and how many like it fit. Nothing is recorded."""
        opened = self.population(population)
        check_cohorts(opened, cohorts)
        spent, cost = (
            spent_by(self._checked(), opened, cohorts),
            accounting.rdp(event, opened.order),
        )
        return Quote(
            rdp=cost,
            epsilon=accounting.epsilon(event, opened.delta),
            left_rdp=max(0.0, opened.limit_rdp - spent),
            how_many_fit=how_many_fit(opened, spent, cost),
        )

    def entries(self, population: str | None = None) -> list[Entry]:
        """Of one population, or all; in order."""
        return [entry for entry in self._checked() if population in (None, entry.population)]

    def head(self) -> str:
        """Hash of the last entry: noted on cards and in MLflow, it pins everything before it."""
        entries = self._checked()
        return entries[-1].hash if entries else GENESIS

    def verify(self, noted: Mapping[str, str] | None = None) -> None:
        """Check the chain and, where given, that heads noted elsewhere are still in it: {where it
        was noted: head}.

        Raises ValueError that names the first fault: the entry that is not what was written, or the
        place whose head is gone.
        """
        entries = self._chain.entries()
        check_chain(entries)
        known = {entry.hash for entry in entries} | {GENESIS}
        if gone := {place: head for place, head in (noted or {}).items() if head not in known}:
            place, head = next(iter(gone.items()))
            more = f" (and {len(gone) - 1} more)" if len(gone) > 1 else ""
            raise Refusal(
                f"the head {head[:12]}… noted on {place}{more} is not in the ledger of"
                f" {len(entries)} entries: its end was cut off, an old copy was put back, or it is"
                " another ledger. Restore the newest backup, and reserve nothing until it verifies"
            )

    def export(self) -> dict[str, Any]:
        """Everything, as JSON values: restricted."""
        entries = self._chain.entries()
        return {
            "head": entries[-1].hash if entries else GENESIS,
            "entries": [{**asdict(e), "content": json.loads(e.content)} for e in entries],
        }

    def _checked(self) -> list[Entry]:
        """All entries of an unbroken chain: nothing is answered from a broken one."""
        entries = self._chain.entries()
        check_chain(entries)
        return entries
