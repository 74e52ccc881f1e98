"""Planted faults of admission, for tests alone: each makes the ledger admit what a Renyi filter at
one fixed order refuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dp_accounting as dpa
import pytest

from pipeline.dp import accounting, renyi
from pipeline.dp.events import from_json
from pipeline.ledger import Ledger, charging, reading, standing
from pipeline.ledger.values import spent_by

ORDERS = (1.5, *range(2, 65))


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A mistake that somebody could make. `caught_by` names the check that finds it; `patch` plants
    it.
    """

    name: str
    caught_by: str
    patch: Callable[[pytest.MonkeyPatch], None]


def _add_up_by(patch: pytest.MonkeyPatch, spent: Callable[..., float]) -> None:
    """`spent` in the place of the sum over a population's charges, wherever the ledger adds up."""
    for module in (charging, reading, standing):
        patch.setattr(module, "spent_by", spent)


def _admit_by(patch: pytest.MonkeyPatch, fits: Callable[[dpa.DpEvent, Any], bool]) -> None:
    """Admission asks `fits(everything charged and the candidate, population)` in place of the
    filter.
    """
    reserve, candidates = Ledger.reserve, []

    def remembering(
        self: Ledger, release_id: str, population: str, event: dpa.DpEvent, **rest: Any
    ) -> Any:
        candidates.append(event)
        try:
            return reserve(self, release_id, population, event, **rest)
        finally:
            candidates.pop()

    def spent(entries: list[Any], population: Any, *rest: Any) -> float:
        if not candidates:
            return spent_by(entries, population, *rest)
        charges = [
            from_json(entry.facts["event"])
            for entry in entries
            if entry.kind == "reserved" and entry.population == population.name
        ]
        return -1e9 if fits(dpa.ComposedDpEvent([*charges, candidates[-1]]), population) else 1e9

    patch.setattr(Ledger, "reserve", remembering)
    _add_up_by(patch, spent)


def by_pld_sum(patch: pytest.MonkeyPatch) -> None:
    _admit_by(
        patch,
        lambda whole, population: accounting.epsilon(whole, population.delta) <= population.epsilon,
    )


def by_the_best_order(patch: pytest.MonkeyPatch) -> None:
    _admit_by(
        patch,
        lambda whole, population: (
            population.epsilon
            >= min(
                renyi.epsilon_of_rdp(order, renyi.rdp(whole, order), population.delta)
                for order in ORDERS
            )
        ),
    )


def abandoned_are_free(patch: pytest.MonkeyPatch) -> None:
    def spent(entries: list[Any], *rest: Any) -> float:
        gone = {entry.release_id for entry in entries if entry.kind == "abandoned"}
        return spent_by(
            [
                entry
                for entry in entries
                if entry.release_id not in gone or entry.release_id is None
            ],
            *rest,
        )

    _add_up_by(patch, spent)


def noted_figures_count(patch: pytest.MonkeyPatch) -> None:
    def spent(entries: list[Any], population: Any, *_: Any) -> float:
        return math.fsum(
            entry.facts["rdp"]
            for entry in entries
            if entry.kind == "reserved" and entry.population == population.name
        )

    _add_up_by(patch, spent)


def everybody_is_nobody(patch: pytest.MonkeyPatch) -> None:
    def spent(entries: list[Any], population: Any, cohorts: tuple[str, ...] = ()) -> float:
        rest = [
            entry
            for entry in entries
            if entry.kind != "reserved" or not cohorts or entry.facts.get("cohorts")
        ]
        return spent_by(rest, population, cohorts)

    _add_up_by(patch, spent)


FAULTS = (
    Fault(name="admission by PLD sum", caught_by="adaptive adversary", patch=by_pld_sum),
    Fault(
        name="the order chosen afterwards", caught_by="adaptive adversary", patch=by_the_best_order
    ),
    Fault(
        name="an abandoned release is not charged",
        caught_by="adaptive adversary",
        patch=abandoned_are_free,
    ),
    Fault(
        name="a charge counted by its noted figure and not its mechanism",
        caught_by="adaptive adversary",
        patch=noted_figures_count,
    ),
    Fault(
        name="a release of everybody is not charged to the single cohorts",
        caught_by="adaptive adversary",
        patch=everybody_is_nobody,
    ),
)
