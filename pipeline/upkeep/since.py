"""What was refused after a backup, which its ledger does not know.

A run that waits in the backup may have been refused since. Put back as it was, it waits again: who
said no could be asked until somebody says yes, and the population would have more refusals left
than it may have (privacy_rules.md 4). So a person says what was refused, and it is entered again.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.ledger import REFUSAL_REASON, Ledger
from pipeline.refusal import Refusal


def waiting(ledger: Ledger) -> list[str]:
    """The releases that are charged and neither published nor abandoned, in order of their
    names.
    """
    charges = (
        charge.release_id
        for population in ledger.populations()
        for charge in ledger.reservations(population.name)
    )
    return sorted(name for name in charges if ledger.state(name) == "reserved")


def refuse_silence(ledger: Ledger, moment: str) -> None:
    """Raises Refusal: nobody said what was refused after the backup, which was made at `moment`."""
    names = waiting(ledger)
    runs = f" In it wait {', '.join(names)}." if names else ""
    raise Refusal(
        f"was any run refused, declined or abandoned after this backup was made ({moment})?{runs}"
        " What is forgotten could be approved after all, and leaves more refusals than a population"
        " may have. Name each (--refused-since RELEASE), and it is entered again; or state that"
        " none was (--nothing-refused-since). Nothing was restored"
    )


def check(ledger: Ledger, refused: Sequence[str]) -> None:
    """Raises Refusal where a statement about refusals cannot be entered into the ledger."""
    for one in refused:
        population, _, release = one.rpartition("/")
        if (state := ledger.state(release)) == "released":
            raise Refusal(f"{release} is published by this backup's ledger: nothing was restored")
        if state is None and not (release and ledger.is_open(population)):
            raise Refusal(
                f"this backup's ledger does not know {release}: it was charged or declined later."
                f" Say of which population it is (--refused-since POPULATION/{release}); if that is"
                " not open in this backup, use a newer one. Nothing was restored"
            )


def enter(ledger: Ledger, refused: Sequence[str], by: str) -> None:
    """Enters what was refused, each as RELEASE, or POPULATION/RELEASE where the ledger has no
    charge of it. What the ledger knows already changes nothing.
    """
    for one in refused:
        population, _, release = one.rpartition("/")
        state = ledger.state(release)
        if state == "reserved":
            ledger.abandon(release, REFUSAL_REASON, by)
        elif state is None:
            ledger.decline(release, population, by)


def release_ids(refused: Sequence[str]) -> set[str]:
    return {one.rpartition("/")[2] for one in refused}
