"""The privacy ledger: every release about a population draws on one budget, here and nowhere else.

Budget is spent when reserved: a crash can waste it and can never overspend it. Admission is a Renyi
filter at one order, fixed when the population was opened (Feldman and Zrnic 2021,
arxiv.org/abs/2008.11193; privacy_rules.md 14): the sum over all entries, whatever became of the
release, stays within the limit. What happened to a release is read from its entries; no entry ever
changes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dp_accounting as dpa

from pipeline.ledger.admission import (
    check_cohorts,
    check_register,
    check_same,
)
from pipeline.ledger.budgets import BudgetWriter
from pipeline.ledger.charging import canonical_mechanism, charge, finite_epsilon
from pipeline.ledger.reading import LedgerReader
from pipeline.ledger.refusals import (
    DECLINED_REASON,
    check_not_declined,
    check_refusals,
    check_undecided,
)
from pipeline.ledger.values import (
    ChargeRequest,
    Reservation,
    ReservationConflict,
    marks_in,
    model_in,
    population_in,
    reservations_in,
    state_in,
    training_token_in,
)
from pipeline.refusal import Refusal


class Ledger(LedgerReader, BudgetWriter):
    """A file (SQLite), or a database of PostgreSQL by its URL. All methods may be called from
    several processes, or hosts, at once.

    >>> from pathlib import Path
    >>> from pipeline.dp.events import DiscreteGaussianDpEvent
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> ledger = Ledger(Path(folder.name) / "ledger.db")
    >>> _ = ledger.open_population(
    ...     "trial", universe="nobody", nominal_size=1000, epsilon=3.0, delta=1e-6,
    ...     ceiling_epsilon=3.0, kind="simulated", reason="an example", by="docs"
    ... )
    >>> mechanism = DiscreteGaussianDpEvent(4.0)
    >>> _ = ledger.reserve("trial-1", "trial", mechanism, by="docs", source_label="1")
    >>> ledger.commit("trial-1")
    >>> ledger.state("trial-1"), ledger.balance("trial").more_like_last
    ('released', 4)
    >>> folder.cleanup()
    """

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
        seed: int | None = None,
    ) -> Reservation:
        """Charge the joint mechanism of a release before it reads a row. The same call twice
        charges once.

        `plan_sha256` binds the charge to one plan: an event may stand for several. `cohorts`: whose
        rows it opens; none: everybody's. `register`: the marks of the register of cohorts, oldest
        first; one that lacks the mark recorded last is an old copy, or another host's. `seed`: of
        the extract's draw, so that nobody draws until they like it.

        Raises:
            BudgetExceeded, ReservationConflict: and the ledger is as it was.
            Refusal: no such population, a mechanism of nothing or without a finite epsilon, or too
                many releases that did not appear.
            MechanismError: an event that cannot be accounted.
        """
        request = ChargeRequest(
            release_id=release_id,
            population=population,
            event=canonical_mechanism(event, release_id),
            source_label=source_label,
            plan_sha256=plan_sha256,
            cohorts=tuple(sorted(set(cohorts))),
            seed=seed,
        )
        opened = self.population(population)
        check_cohorts(opened, request.cohorts)
        epsilon = finite_epsilon(request, opened.delta)  # before the lock: it takes a moment
        with self._chain.writing() as writer:
            if reservation := reservations_in(writer.entries).get(release_id):
                check_same(reservation, state_in(writer.entries, release_id), request)
                return reservation
            check_not_declined(release_id, state_in(writer.entries, release_id))
            check_refusals(population, release_id, writer.entries)
            check_register(population, marks_in(writer.entries, population), register)
            return charge(writer, request, epsilon, by, register)

    def begin_training(self, release_id: str, by: str, token: str) -> None:
        """Record, before the first row is read, that the release's mechanisms run. The same call
        twice changes nothing.

        `token`, a random text, stands beside the measurements: one charge pays for one set of them,
        wherever else the release is started.

        Raises Refusal where the release is not reserved, or closed, or its training began with
        another token, or where too many others began and did not appear.
        """
        with self._chain.writing() as writer:
            state = state_in(writer.entries, release_id)
            if state != "reserved":
                raise Refusal(
                    f"{release_id} is {state or 'not reserved'} in the ledger, so nothing is"
                    " trained for it; use a new release id"
                )
            first_token = training_token_in(writer.entries, release_id)
            if first_token is not None and first_token != token:
                raise Refusal(
                    f"{release_id}: training began once, with measurements that are not here: to"
                    " measure again would be another charge. Use a new release id, or put"
                    " restricted/checkpoints back"
                )
            if first_token is None:
                population = reservations_in(writer.entries)[release_id].population
                check_refusals(population, release_id, writer.entries)
                writer.append(
                    population=population,
                    release_id=release_id,
                    kind="training",
                    by=by,
                    facts={"token": token},
                )

    def note_model(self, release_id: str, by: str, sha256: str) -> None:
        """Record the one model that was trained under the charge. The same call twice changes
        nothing.

        Raises Refusal where no training began, or another model was recorded: somebody could choose
        among noises.
        """
        with self._chain.writing() as writer:
            if training_token_in(writer.entries, release_id) is None:
                raise Refusal(f"{release_id}: no training began in the ledger, so it has no model")
            first = model_in(writer.entries, release_id)
            if first is not None and first != sha256:
                raise Refusal(
                    f"{release_id}: another model was trained under this charge (its hash begins"
                    f" with {first[:12]}); a charge pays for one. Put restricted/checkpoints back"
                    " as it was after that training, or use a new release id"
                )
            if first is None:
                writer.append(
                    population=reservations_in(writer.entries)[release_id].population,
                    release_id=release_id,
                    kind="trained",
                    by=by,
                    facts={"model": sha256},
                )

    def decline(self, release_id: str, population: str, by: str) -> None:
        """Record that a person who has seen what ingest kept says no before anything is charged.
        It counts as a refusal does. The same call twice changes nothing.

        Raises Refusal where the population is not open, ReservationConflict where the release is
        charged, closed, or was declined for another population.
        """
        with self._chain.writing() as writer:
            population_in(writer.entries, population)
            earlier = [entry for entry in writer.entries if entry.release_id == release_id]
            if any((entry.kind, entry.population) == ("declined", population) for entry in earlier):
                return
            check_undecided(release_id, population, state_in(earlier, release_id))
            writer.append(
                population=population,
                release_id=release_id,
                kind="declined",
                by=by,
                facts={"reason": DECLINED_REASON},
            )

    def commit(self, release_id: str, facts: Mapping[str, Any] | None = None) -> None:
        """Record that the release left the restricted zone. `facts` (JSON) are public. The same
        call twice changes nothing.

        Raises Refusal where it was never reserved, ReservationConflict where it was closed
        otherwise.
        """
        self._close(release_id, "released", dict(facts or {}), by=None)

    def abandon(self, release_id: str, reason: str, by: str) -> None:
        """Record that the release will not appear. It stays charged: its mechanism may have run.

        Raises Refusal without a reason, or where it was never reserved; ReservationConflict where
        it was closed otherwise.
        """
        if not reason.strip():
            raise Refusal(f"abandoning {release_id} needs a reason")
        self._close(release_id, "abandoned", {"reason": reason}, by=by)

    def _close(self, release_id: str, kind: str, facts: dict[str, Any], by: str | None) -> None:
        with self._chain.writing() as writer:
            reservation = reservations_in(writer.entries).get(release_id)
            if reservation is None:
                raise Refusal(f"{release_id} was never reserved, so it cannot be {kind}")
            state = state_in(writer.entries, release_id)
            if state == "reserved":
                writer.append(
                    population=reservation.population,
                    release_id=release_id,
                    kind=kind,
                    by=by or reservation.by,
                    facts=facts,
                )
                return
            last = next(
                entry.facts
                for entry in reversed(writer.entries)
                if (entry.release_id, entry.kind) == (release_id, state)
            )
            if (state, last) != (kind, facts):
                raise ReservationConflict(
                    f"{release_id} is already {state}, with {last}; asked for {kind} with {facts}"
                )

    def move_to(self, other: "Ledger", by: str) -> None:
        """All entries, as they were written, into another, empty ledger; this one is closed by an
        entry. The same again changes nothing.

        Raises Refusal where the other one holds anything else.
        """
        self._chain.move_to(other._chain, by)

    def copy_to(self, other: "Ledger") -> int:
        """All entries, as they were written, into another ledger that holds none of them, or the
        first ones; one that holds these and more stays as it is. Returns how many were added.

        Raises Refusal for a broken chain, and where the other one holds anything else.
        """
        return self._chain.copy_to(other._chain)
