"""Lines of the log, made from the ledger. Nothing here is shown but the lines themselves.

The line of a charged release commits to every entry about its population since the one before, up
to the release's own charge: training, refusals, openings and raises too. It shows the charges among
them. How many other entries there are is hidden by leaves that are made up, and where an entry
stands among them by the order, which is that of the hashes. All salts come from one secret, the
first salt of the ledger: it is as old as the ledger, is kept with it and shown nowhere.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.dp import renyi
from pipeline.ledger import Entry, Ledger, Population, Reservation
from pipeline.refusal import Refusal
from pipeline.transparency import tree
from pipeline.transparency.checking import FORMAT
from pipeline.transparency.commitments import (
    Line,
    commitment,
    cost_facts,
    entry_leaf,
    mechanism_sha256,
    name_facts,
)
from pipeline.transparency.sums import charges_of, spent_of

CAPACITY = 4096  # leaves of a line's hidden tree; twice as many, and so on, where they do not fit
PRECISION = 1e-9  # relative: the same divergence on processors that round otherwise
COST, NAME, HEAD = "cost", "name", "head"


def charged_line(
    ledger: Ledger, log: Sequence[Line], release_id: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The next line of the log, for a release that was charged. `facts`: what else it says of it.

    Raises Refusal where the ledger is not the one that the log was made from.
    """
    if differing := disagreement(ledger, log):
        raise Refusal(
            f"{differing}. Nothing was published: restore the newest backup of the ledger, or of"
            " the released version store, and find out who changed what (docs/auditing.md)"
        )
    line = {"format": FORMAT, "kind": "charged", "release_id": release_id, **facts}
    return line | _Books.of(ledger).part(log, release_id)


def drawn_line(release_id: str, drawn_from: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The line of an extract that was drawn from a published model: nothing was charged for it."""
    line = {"format": FORMAT, "kind": "drawn", "release_id": release_id, "drawn_from": drawn_from}
    return line | dict(facts)


def disagreement(ledger: Ledger, log: Sequence[Line]) -> str:
    """What the log says otherwise than the ledger; empty where they agree. Only who has the ledger
    can ask this.
    """
    books = _Books.of(ledger)
    names = {line.get("release_id") for line in log}
    names |= {one["release_id"] for line in log[:1] for one in line["older"]}
    for entry in books.entries:
        if entry.kind == "released" and entry.release_id not in names:
            return (
                f"{entry.release_id} was published by the ledger, and the transparency log has no"
                " entry of it: the log was cut off, or an old copy of it was put back"
            )
    for index, line in enumerate(log):
        if line["kind"] != "charged":
            continue
        if books.charge(line["release_id"]) is None:
            return (
                f"entry {index} of the transparency log is about {line['release_id']}, which has no"
                " charge in the ledger"
            )
        part = books.part(log[:index], line["release_id"], line)
        if differing := [name for name, value in part.items() if line.get(name) != value]:
            return (
                f"the ledger is not the one from which entry {index} of the transparency log was"
                f" made ({line['release_id']}): {', '.join(differing)} differ"
            )
    return ""


def shown_after(charges: Sequence[Reservation], log: Sequence[Line], release_id: str) -> int:
    """How many of a population's charges are shown once a release of it follows `log`: those up to
    the release's own, those that are shown already, and those of releases from before the log. A
    charge that was made later, of a run that may go on, is not: its moment would tell how long
    another stage took (privacy_rules.md 1).

    `release_id`: also the one whose model was drawn from; of another population, or of none: what
    is shown already. `charges`: all of the population, in order.
    """
    names = {release_id, *(one["release_id"] for line in log[:1] for one in line["older"])}
    own = (place for place, one in enumerate(charges, start=1) if one.release_id in names)
    n_listed = len(charges_of(log, charges[0].population)) if charges else 0
    return max((*own, n_listed))


@dataclass(frozen=True)
class _Books:
    """What the ledger holds, read once."""

    entries: Sequence[Entry]
    populations: Mapping[str, Population]
    charges: Mapping[str, Sequence[Reservation]]  # of each population, in order

    @classmethod
    def of(cls, ledger: Ledger) -> _Books:
        populations = {one.name: one for one in ledger.populations()}
        charges = {name: ledger.reservations(name) for name in populations}
        return cls(ledger.entries(), populations, charges)

    def charge(self, release_id: str) -> Reservation | None:
        every = (one for charges in self.charges.values() for one in charges)
        return next((one for one in every if one.release_id == release_id), None)

    def part(
        self, log: Sequence[Line], release_id: str, line: Line | None = None
    ) -> dict[str, Any]:
        """What the ledger says in the line of a charged release that follows `log`. `line`: where
        it was made already.
        """
        charge = self.charge(release_id)
        assert charge is not None  # nothing is published without one (`charged_draw`)
        charges, order = self.charges[charge.population], self.populations[charge.population].order
        n_listed = len(charges_of(log, charge.population))
        last = charges[n_listed - 1].entry if n_listed else 0
        until = charges[shown_after(charges, log, release_id) - 1].entry
        stated = _stated([*log, line] if line is not None else log, charge.population)
        facts = {
            "population": charge.population,
            "order": order,
            **_cost(charges, charge.entry, order, stated),
            "epsilon": charge.epsilon,
            "delta": charge.delta,
            "mechanism": mechanism_sha256(charge.event),
            "chain_head": charge.entry_hash,
        }
        leaves = _Leaves(_secret(self.entries), facts, charges, stated)
        since = [
            leaves.leaf(entry)
            for entry in self.entries
            if entry.population == charge.population and last < entry.number <= until
        ]
        facts |= leaves.hidden_tree(since, len(log))
        return facts | {
            "name_salt": leaves.salt(NAME, charge.entry).hex(),
            "head_salt": leaves.salt(HEAD, charge.entry).hex(),
            "spent_rdp": spent_of([*log, facts], charge.population),
        }


@dataclass(frozen=True)
class _Leaf:
    """Of one entry: its three commitments, and what is shown of a charge."""

    cost: bytes
    name: bytes
    head: bytes
    opening: Mapping[str, Any] | None

    @property
    def hash(self) -> bytes:
        return entry_leaf(self.cost, self.name, self.head)


@dataclass(frozen=True)
class _Leaves:
    secret: bytes
    facts: Mapping[str, Any]  # of the line
    charges: Sequence[Reservation]  # of its population
    stated: Mapping[int, float]

    def salt(self, what: str, number: object) -> bytes:
        """Of one commitment of one entry; 32 bytes that nobody tells from random ones."""
        return hmac.digest(self.secret, f"{what} {number}".encode(), "sha256")

    def leaf(self, entry: Entry) -> _Leaf:
        charge = next((one for one in self.charges if one.entry == entry.number), None)
        opening = None
        cost = name = b""
        if charge is not None:
            cost_of_charge = _cost(self.charges, charge.entry, self.facts["order"], self.stated)
            opening = cost_of_charge | {"salt": self.salt(COST, entry.number).hex()}
            cost = cost_facts(self.facts, opening)
            name = name_facts(
                {
                    "release_id": charge.release_id,
                    "epsilon": charge.epsilon,
                    "delta": charge.delta,
                    "mechanism": mechanism_sha256(charge.event),
                }
            )
        return _Leaf(
            commitment(self.salt(COST, entry.number), cost),
            commitment(self.salt(NAME, entry.number), name),
            commitment(self.salt(HEAD, entry.number), bytes.fromhex(entry.hash)),
            opening,
        )

    def hidden_tree(self, leaves: Sequence[_Leaf], index: int) -> dict[str, Any]:
        """The root over the leaves and as many made-up ones as hide their number, and each charge
        among them with its proof. `index`: of the line.
        """
        capacity = CAPACITY
        while capacity < len(leaves):
            capacity *= 2
        made_up = [
            self.salt(f"made up {index}", number) for number in range(capacity - len(leaves))
        ]
        hashes = sorted([*(leaf.hash for leaf in leaves), *made_up])
        charges = [
            {
                **leaf.opening,
                "name": leaf.name.hex(),
                "head": leaf.head.hex(),
                "place": hashes.index(leaf.hash),
                "path": [
                    node.hex() for node in tree.inclusion_path(hashes.index(leaf.hash), hashes)
                ],
            }
            for leaf in leaves
            if leaf.opening is not None
        ]
        return {"ledger": tree.root(hashes).hex(), "ledger_size": capacity, "charges": charges}


def _stated(log: Sequence[Line], population: str) -> dict[int, float]:
    """{number of a charge: its Renyi divergence}, as lines have it."""
    return {one["charge"]: one["rdp"] for one in charges_of(log, population)}


def _cost(
    charges: Sequence[Reservation], entry: int, order: int, stated: Mapping[int, float]
) -> dict[str, Any]:
    """Of the charge that is this entry: its number among the population's, its Renyi divergence at
    the population's order, and whose rows it opened.

    What a line has stated stays so to the last digit: another processor, or another version of
    numpy, computes another last digit of a divergence.
    """
    place, charge = next(
        (place, one) for place, one in enumerate(charges, start=1) if one.entry == entry
    )
    rdp = renyi.rdp(charge.event, order)
    if (before := stated.get(place)) is not None and math.isclose(before, rdp, rel_tol=PRECISION):
        rdp = before
    return {"charge": place, "rdp": rdp, "cohorts": list(charge.cohorts)}


def _secret(entries: Sequence[Entry]) -> bytes:
    """Raises Refusal for a ledger without a salt: each entry of today has one."""
    salt = next((entry.salt for entry in entries if entry.salt), None)
    if salt is None:
        raise Refusal(
            "no entry of the ledger holds a salt, so nothing of it can be committed to; any new"
            " entry brings one, such as opening a population (`python -m pipeline ledger open`)"
        )
    return salt.encode()
