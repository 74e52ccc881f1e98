"""An adaptive adversary against the ledger: what is asked next is read off what came out before
(privacy_rules.md 14).

Composition theorems for fixed mechanisms, sums of privacy loss distributions among them, say
nothing about such a sequence; a Renyi filter at one order, fixed beforehand, does (Feldman and
Zrnic 2021, arxiv.org/abs/2008.11193). The ledger is compared with sums made anew
(`stored_sums`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import dp_accounting as dpa
import numpy as np

from audit.adversary import Adversary
from audit.findings import Check, Finding
from audit.stored_sums import divergence, second_opinion, sums_by_cohort
from pipeline.dp.events import DiscreteGaussianDpEvent, composed, to_json
from pipeline.ledger import BudgetExceeded, Entry, Ledger, Population
from pipeline.ledger.chain import Chain

TOLERANCE = 1e-9  # of the limit: what rounding of sums may add
ROUNDS = 20  # per population, in the audit
POPULATIONS: dict[str, tuple[float, float, tuple[str, ...]]] = {  # (epsilon, delta, cohorts)
    "narrow": (3.0, 1e-6, ()),
    "wide": (10.0, 1e-6, ()),
    "strict": (1.5, 1e-7, ()),
    "grouped": (4.0, 1e-6, ("early", "late")),
}
LARGER_BUDGETS = {"narrow": 3.6}  # in the middle of the attack


@dataclass(kw_only=True)
class Game:
    """One population under attack. `faults` says what went wrong, in words."""

    ledger: Ledger
    population: str
    adversary: Adversary
    admitted: int = 0
    refused: int = 0
    largest_share: float = 0.0
    faults: list[str] = field(default_factory=list)

    def round(self, number: int) -> None:
        """One request, and a look at what it left in the ledger."""
        opened, before = self.ledger.population(self.population), self.ledger.entries()
        spent, cohorts = self._sums(before, opened), self.adversary.cohorts(opened.cohorts)
        most = max(spent[cohort] for cohort in cohorts or spent)
        event, name = self.adversary.request(opened.limit_rdp - most), f"{self.population}-{number}"
        cost = divergence(event, opened.order)
        try:
            self.ledger.reserve(
                name,
                self.population,
                event,
                by="adversary",
                source_label=str(number),
                cohorts=cohorts,
            )
        except BudgetExceeded:
            self._refused(name, most + cost < opened.limit_rdp * (1 - TOLERANCE), before)
            return
        self.admitted += 1
        self.adversary.observe(event)
        self._admitted(name, opened, spent, dict.fromkeys(cohorts or spent, cost))

    def _admitted(
        self, name: str, opened: Population, spent: dict[str, float], costs: dict[str, float]
    ) -> None:
        sums = self._sums(self.ledger.entries(), opened)
        total = max(sums.values())
        self.largest_share = max(self.largest_share, total / opened.limit_rdp)
        if total > opened.limit_rdp * (1 + TOLERANCE):
            self.faults.append(
                f"{name} brought the sum at order {opened.order} to {total:.6f}, past the limit of"
                f" {opened.limit_rdp:.6f}"
            )
        for cohort, before in spent.items():
            if abs(sums[cohort] - before - costs.get(cohort, 0.0)) > TOLERANCE * opened.limit_rdp:
                self.faults.append(
                    f"{name} costs {costs.get(cohort, 0.0):.6f}, and the stored mechanisms grew by"
                    f" {sums[cohort] - before:.6f}"
                )

    def _refused(self, name: str, would_fit: bool, before: list[Entry]) -> None:
        self.refused += 1
        self.adversary.observe_refusal()
        if self.ledger.entries() != before or self.ledger.reservation(name) is not None:
            self.faults.append(f"{name} was refused and left an entry")
        if would_fit:
            self.faults.append(f"{name} was refused though it fits")

    def _sums(self, entries: list[Entry], opened: Population) -> dict[str, float]:
        return sums_by_cohort(
            [entry for entry in entries if entry.population == self.population],
            opened.order,
            opened.cohorts,
        )

    def ends(self) -> None:
        """The whole against the ledger's own figure, and against the second opinion."""
        opened, own = self.ledger.population(self.population), self.ledger.entries(self.population)
        total = max(self._sums(own, opened).values())
        spent = self.ledger.balance(self.population).spent_rdp
        if abs(total - spent) > TOLERANCE * opened.limit_rdp:
            self.faults.append(
                f"the ledger says that {spent:.6f} is spent of {self.population}, its mechanisms"
                f" add up to {total:.6f}"
            )
        if (other := second_opinion(own, opened)) > opened.epsilon * (1 + 1e-6):
            self.faults.append(
                f"dp_accounting says epsilon {other:.6f} of {self.population}, whose budget is"
                f" {opened.epsilon:g}"
            )


def game(
    ledger: Ledger,
    name: str,
    epsilon: float,
    delta: float,
    cohorts: tuple[str, ...],
    seed: int,
    greed: float,
) -> Game:
    """A population opened for the attack, and its adversary."""
    opened = ledger.open_population(
        name,
        universe="nobody",
        nominal_size=1000,
        epsilon=epsilon,
        delta=delta,
        ceiling_epsilon=1.5 * epsilon,
        kind="simulated",
        reason="an adaptive adversary",
        by="audit",
        cohorts=cohorts,
    )
    return Game(
        ledger=ledger,
        population=name,
        adversary=Adversary(opened, np.random.default_rng([seed, opened.order]), greed),
    )


def charge_with_small_figures(path: Path, population: str, event: dpa.DpEvent) -> None:
    """A charge whose figures say almost nothing while its mechanism costs as much as it costs: the
    mechanism counts.
    """
    facts = {
        "event": to_json(composed([event])),
        "source_label": "noted wrongly",
        "order": 2,
        "rdp": 1e-12,
        "epsilon": 1e-12,
        "delta": 1e-6,
        "plan_sha256": None,
    }
    with Chain(path).writing() as writer:
        writer.append(
            population=population,
            release_id=f"{population}-noted",
            kind="reserved",
            by="adversary",
            facts=facts,
        )


def _attack(folder: Path) -> Finding:
    """Several populations in one ledger, in turns; releases are abandoned or asked for twice, one
    was noted wrongly, a budget is raised.
    """
    path = folder / "ledger.db"
    ledger = Ledger(path)
    games = [
        game(ledger, name, *facts, seed=seed, greed=0.5)
        for seed, (name, facts) in enumerate(POPULATIONS.items())
    ]
    charge_with_small_figures(path, "wide", DiscreteGaussianDpEvent(2.0))
    for number in range(ROUNDS):
        for attacked in games:
            attacked.round(number)
            _meddle(ledger, attacked, number)
    for attacked in games:
        attacked.ends()
    faults = [fault for attacked in games for fault in attacked.faults]
    figures = {
        "refreshes": float(ROUNDS * len(games)),
        "admitted": float(sum(attacked.admitted for attacked in games)),
        "refused": float(sum(attacked.refused for attacked in games)),
        "largest_share": max(attacked.largest_share for attacked in games),
    }
    vacuous = [
        attacked.population for attacked in games if not (attacked.admitted and attacked.refused)
    ]
    message = (
        faults[0]
        if faults
        else (
            f"nothing was admitted or nothing refused of {', '.join(vacuous)}, so nothing was asked"
            if vacuous
            else (
                f"{figures['refreshes']:.0f} adaptive requests to {len(games)} populations,"
                f" {figures['admitted']:.0f} admitted: the sum at the fixed order came to at most"
                f" {figures['largest_share']:.4%} of the limit, and a refusal left no entry"
            )
        )
    )
    return Finding(holds=not faults and not vacuous, message=message, figures=figures)


def _meddle(ledger: Ledger, attacked: Game, number: int) -> None:
    """An early release is abandoned; a budget is raised; a later release is asked for a second
    time, which must charge nothing.
    """
    if number == ROUNDS // 2 and attacked.population in LARGER_BUDGETS:
        ledger.raise_budget(
            attacked.population,
            epsilon=LARGER_BUDGETS[attacked.population],
            reason="the adversary's choice",
            by="adversary",
        )
    reservation = ledger.reservation(f"{attacked.population}-{number}")
    if reservation is None:
        return
    if number < 4:
        ledger.abandon(reservation.release_id, "the adversary's choice", "adversary")
        return
    before = ledger.chain_head()
    ledger.reserve(
        reservation.release_id,
        attacked.population,
        reservation.event,
        by="adversary",
        source_label=reservation.source_label,
        cohorts=reservation.cohorts,
    )
    if ledger.chain_head() != before:
        attacked.faults.append(f"{reservation.release_id} was charged twice")


CHECKS: tuple[Check, ...] = (
    Check(
        name="adaptive adversary",
        family="adaptive adversary",
        run=_attack,
        asks=(
            "whatever an adversary asks for next, having seen what came out before, the sum over"
            " all charges at the population's order stays within its limit, and a refusal leaves no"
            " entry"
        ),
    ),
)
