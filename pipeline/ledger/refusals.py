"""Releases that did not appear: each may be a person's answer that rows influenced, so a population
has few of them in its life (privacy_rules.md 4). Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.ledger.entries import Entry
from pipeline.ledger.values import ReservationConflict, unpublished_in
from pipeline.refusal import Refusal

# The reason in the ledger where a person refused a release; what the person thought stays with the
# person.
REFUSAL_REASON = "refused"
DECLINED_REASON = "declined"  # the same, of a no before a charge
MOST_ABANDONED = 5  # of a population's releases, over its whole life


def check_refusals(population: str, release_id: str, entries: Sequence[Entry]) -> None:
    """Raises Refusal where so many releases did not appear that this alone could reveal something
    about rows (privacy_rules.md 4). Every abandonment counts, every no before a charge, and every
    other release whose training began: no answer is an answer, too.
    """
    unpublished = unpublished_in(entries, population)
    unpublished.pop(release_id, None)
    if len(unpublished) >= MOST_ABANDONED:
        begun = [name for name, kind in unpublished.items() if kind == "training"]
        waiting = (
            f"publish {', '.join(begun)}, which began training and did not appear: the same release"
            " id again goes on (a published release does not count); "
            if begun
            else ""
        )
        raise Refusal(
            f"{release_id} was refused and nothing was entered: {len(unpublished)} releases of"
            f" population {population} were refused or abandoned since it was opened, or began"
            f" training and did not appear, and {MOST_ABANDONED} is the most there may be, as each"
            f" is an answer by somebody who may have seen rows. What to do: {waiting}draw further"
            " extracts from a published model (free), or have a person decide to open a new"
            " population with a budget of its own, which adds up with this one"
        )


def check_undecided(release_id: str, population: str, state: str | None) -> None:
    """Raises Refusal where a person can no longer say no before a charge."""
    if state is not None:
        raise ReservationConflict(
            f"{release_id} is {state} in the ledger of population {population}: a no before a"
            " charge comes too late; refuse it at the approval, or abandon it (`python -m pipeline"
            " ledger abandon`)"
        )


def check_not_declined(release_id: str, state: str | None) -> None:
    """Raises ReservationConflict where a person said no to the release before its charge."""
    if state == "declined":
        raise ReservationConflict(
            f"release id {release_id} was declined by a person before it was charged; choose a new"
            " release id"
        )
