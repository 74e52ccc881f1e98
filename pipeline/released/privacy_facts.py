"""What the ledger says of a release, in the words of the card. Row-free: mechanisms, noise and
sums, no result.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import Home, Release
from pipeline.dp import renyi
from pipeline.ledger import Ledger, Population
from pipeline.refusal import Refusal
from pipeline.released.mechanisms import mechanisms
from pipeline.released.membership import Share, membership_facts
from pipeline.runs import released_trees
from pipeline.transparency.checking import first_line
from pipeline.transparency.commitments import Line
from pipeline.transparency.making import shown_after

NO_LOG = (first_line({}),)


def privacy_facts(ledger: Ledger, release_id: str, log: Sequence[Line] = NO_LOG) -> dict[str, Any]:
    """Epsilon and delta of the release that was charged, its mechanisms, the balance, the overlap,
    and what pins them: the chain's head just after the charge, and the place in the transparency
    log, where the release follows `log`.

    What was charged since, for a run that may go on, is not in the balance: the card would tell
    when (`shown_after`). Raises Refusal where the release was never charged.
    """
    reservation = ledger.reservation(release_id)
    if reservation is None:
        raise Refusal(
            f"{release_id} is not in the ledger: nothing was charged for it, so nothing may leave"
        )
    population = ledger.population(reservation.population)
    charges = ledger.reservations(population.name)
    n_shown = shown_after(charges, log, release_id)
    balance = ledger.balance(population.name, until=charges[n_shown - 1].entry)
    overlapping = ledger.overlapping(reservation.population)
    return {
        "epsilon": reservation.epsilon,
        "delta": reservation.delta,
        "mechanisms": mechanisms(reservation.event),
        "population": population.name,
        "universe": population.universe,
        "epsilon_spent": balance.epsilon_spent,
        "share_spent": balance.share_spent,
        "epsilon_total": balance.epsilon_total,
        "epsilon_opened": population.opened_epsilon,
        "epsilon_ceiling": population.ceiling_epsilon,
        "cohorts": list(reservation.cohorts),
        "releases_charged": balance.n_releases,
        "renyi_order": balance.order,
        "overlapping_populations": [p.name for p in overlapping],
        "epsilon_total_of_overlapping": sum(p.epsilon for p in overlapping),
        "epsilon_ceiling_of_overlapping": sum(p.ceiling_epsilon for p in overlapping),
        "delta_total_of_overlapping": sum(p.delta for p in overlapping),
        "membership": membership_facts(
            [_share(ledger, one, log, release_id) for one in overlapping]
        ),
        "charge": 1 + [one.release_id for one in charges].index(release_id),
        "log_entry": len(log),
        "chain_head": reservation.entry_hash,
    }


def _share(ledger: Ledger, population: Population, log: Sequence[Line], release_id: str) -> Share:
    """What a population has spent, as far as it is shown, and may spend in its life."""
    charges = ledger.reservations(population.name)
    n_shown = shown_after(charges, log, release_id)
    until = charges[n_shown - 1].entry if n_shown else 0
    return Share(
        population=population.name,
        charges=n_shown,
        order=population.order,
        rdp=ledger.balance(population.name, until=until).spent_rdp,
        rdp_ceiling=renyi.rdp_limit(population.order, population.ceiling_epsilon, population.delta),
    )


def published_chain_heads(home: Home) -> dict[str, str]:
    """{where: head of the chain} of every card published here: where the ledger lacks one, it was
    cut off or rolled back. For several hosts the cards are those of all tags in the released store.
    """
    folders = sorted(home.published.glob("[!.]*"))
    cards = {folder.name: files.read_json(Release(folder).card) for folder in folders}
    if home.deployment.is_shared:
        cards |= {tag: _tagged_card(home, tag) for tag in released_trees.tags(home)}
    return {
        f"the card of {name}": str(card["privacy"]["chain_head"])
        for name, card in cards.items()
        if card is not None
    }


def _tagged_card(home: Home, tag: str) -> dict[str, Any]:
    folder, _ = released_trees.find(home, tag)
    return released_trees.show(home, tag, Release(Path(folder)).card)
