"""An adaptive adversary against the ledger: what is asked next is read off what came out before
(privacy_rules.md 14).

Composition theorems for fixed mechanisms, sums of privacy loss distributions among them, say
nothing about such a sequence; a Renyi filter at one order, fixed beforehand, does (Feldman and
Zrnic 2021, arxiv.org/abs/2008.11193). The sums here are made from the stored mechanisms by formulas
written out once more, and by dp_accounting's own accountant, so that a mistake of the ledger's
arithmetic is not repeated.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import dp_accounting as dpa
import numpy as np

from audit.findings import Check, Finding
from pipeline.dp.events import DiscreteGaussianDpEvent, composed, flatten, from_json, to_json
from pipeline.ledger import BudgetExceeded, Entry, Ledger, Population
from pipeline.ledger.chain import Chain

EVERYBODY = ""  # the one cohort of a population without cohorts
TOLERANCE = 1e-9  # of the limit: what rounding of sums may add
MOST_STEPS = 2000  # of DP-SGD in one request: keeps the accounting of a request quick
SMALLEST = 1e-4  # of the limit: no request costs less
ROUNDS = 20  # per population, in the audit
POPULATIONS: dict[str, tuple[float, float, tuple[str, ...]]] = {  # (epsilon, delta, cohorts)
    "narrow": (3.0, 1e-6, ()),
    "wide": (10.0, 1e-6, ()),
    "strict": (1.5, 1e-7, ()),
    "grouped": (4.0, 1e-6, ("early", "late")),
}
RAISED = {"narrow": 3.6}  # in the middle of the attack


class Adversary:
    """Asks for one release after another. Every choice is read off the digits of the last noisy
    output.
    """

    def __init__(self, population: Population, noise: np.random.Generator, greed: float) -> None:
        self._order, self._limit, self._noise = population.order, population.limit_rdp, noise
        # the largest share of what is left that a request takes, where it means to be admitted
        self.greed = greed
        self._digits = 0
        self.sees(DiscreteGaussianDpEvent(1.0))

    def sees(self, event: dpa.DpEvent) -> None:
        """Its release came out: a count of one patient with the noise of the event's first part."""
        [leaf, *_] = flatten(event)
        sigma = (
            leaf.sigma
            if isinstance(leaf, DiscreteGaussianDpEvent)
            else getattr(leaf, "event", leaf).noise_multiplier
        )
        self._digits = int(abs(1 + sigma * self._noise.normal()) * 2**40)

    def was_refused(self) -> None:
        """A refusal is an answer, too."""
        self._digits = self._digits * 6364136223846793005 % 2**63 >> 7

    def names(self, cohorts: tuple[str, ...]) -> tuple[str, ...]:
        """Whose rows the next release opens: one cohort's, or everybody's."""
        return ((), *((cohort,) for cohort in cohorts))[self._digits // 7 % (len(cohorts) + 1)]

    def asks(self, left: float) -> dpa.DpEvent:
        """The next mechanism, given what is left at the fixed order: a piece of it, the whole of
        it, or a trifle more than it.
        """
        left = max(left, SMALLEST * self._limit)
        tricks = (
            self._piece,
            self._piece,
            self._steps,
            self._both,
            self._just_over,
            self._one_step_too_many,
        )
        trick = tricks[self._digits % len(tricks)]
        share = (self._digits // len(tricks) % 1000 + 1) / 1000  # in (0, 1]
        return trick(left, share)

    def _piece(self, left: float, share: float) -> dpa.DpEvent:
        return self._counts(max(self.greed * share * left, SMALLEST * self._limit))

    def _both(self, left: float, share: float) -> dpa.DpEvent:
        cost = max(self.greed * share * left, SMALLEST * self._limit)
        return composed([self._counts(cost / 2), self._training(cost / 2, 0.5 + 1.5 * share, 0)])

    def _steps(self, left: float, share: float) -> dpa.DpEvent:
        return self._training(self.greed * left, 0.5 + 1.5 * share, 0)

    def _just_over(self, left: float, share: float) -> dpa.DpEvent:
        return self._counts(left * (1 + 1e-6))

    def _one_step_too_many(self, left: float, share: float) -> dpa.DpEvent:
        return self._training(left, 0.5 + 0.5 * share, 1)

    def _counts(self, cost: float) -> dpa.DpEvent:
        """One block of counts that costs exactly this."""
        return DiscreteGaussianDpEvent(math.sqrt(self._order / (2 * cost)))

    def _training(self, cost: float, noise_multiplier: float, more: int) -> dpa.DpEvent:
        """As many steps as fit into `cost`, and `more`. With so little noise they are far cheaper
        at another order than at the fixed one.
        """
        step = dpa.PoissonSampledDpEvent(0.01, dpa.GaussianDpEvent(noise_multiplier))
        steps = int(cost / divergence(step, self._order)) + more
        if steps > MOST_STEPS:
            return self._training(cost, noise_multiplier / 1.1, more)
        return (
            dpa.SelfComposedDpEvent(step, steps)
            if steps
            else self._training(cost, 1.2 * noise_multiplier, more)
        )


def divergence(event: dpa.DpEvent, order: int) -> float:
    """Renyi divergence at a whole order, from the formulas: order / (2 sigma^2); Mironov, Talwar,
    Zhang 2019, equation 3, term by term.
    """
    return math.fsum(times * _of_leaf(leaf, order) for leaf, times in flatten(event).items())


def _of_leaf(leaf: Any, order: int) -> float:
    if isinstance(leaf, dpa.PoissonSampledDpEvent):
        q, variance = leaf.sampling_probability, leaf.event.noise_multiplier**2
        terms = [
            math.comb(order, k)
            * (1 - q) ** (order - k)
            * q**k
            * math.exp(k * (k - 1) / (2 * variance))
            for k in range(order + 1)
        ]
        return math.log(math.fsum(terms)) / (order - 1)
    sigma = leaf.sigma if isinstance(leaf, DiscreteGaussianDpEvent) else leaf.noise_multiplier
    return order / (2 * float(sigma) ** 2)


@lru_cache(maxsize=4096)
def _stored(event: str, order: int) -> float:
    return divergence(from_json(json.loads(event)), order)


def charged(entries: list[Entry], order: int, cohorts: tuple[str, ...] = ()) -> dict[str, float]:
    """{cohort: the sum over every stored mechanism that opened its rows}, whatever is noted beside
    them and whatever became of the releases.
    """
    sums: dict[str, list[float]] = {cohort: [] for cohort in cohorts or (EVERYBODY,)}
    for facts in (entry.facts for entry in entries if entry.kind == "reserved"):
        for cohort in facts.get("cohorts") or sums:
            sums[cohort].append(_stored(json.dumps(facts["event"]), order))
    return {cohort: math.fsum(costs) for cohort, costs in sums.items()}


def second_opinion(entries: list[Entry], population: Population) -> float:
    """Epsilon of the same mechanisms by dp_accounting's accountant at the population's order alone,
    for the cohort where it is largest.
    """
    found = []
    for cohort in population.cohorts or (EVERYBODY,):
        accountant = dpa.rdp.RdpAccountant(orders=[population.order])
        for facts in (entry.facts for entry in entries if entry.kind == "reserved"):
            if cohort in (facts.get("cohorts") or (cohort,)):
                for leaf, times in flatten(from_json(facts["event"])).items():
                    # the same bound
                    gaussian = (
                        dpa.GaussianDpEvent(leaf.sigma)
                        if isinstance(leaf, DiscreteGaussianDpEvent)
                        else leaf
                    )
                    accountant.compose(gaussian, times)
        found.append(float(accountant.get_epsilon(population.delta)))
    return max(found)


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
        spent, named = self._sums(before, opened), self.adversary.names(opened.cohorts)
        most = max(spent[cohort] for cohort in named or spent)
        event, name = self.adversary.asks(opened.limit_rdp - most), f"{self.population}-{number}"
        cost = divergence(event, opened.order)
        try:
            self.ledger.reserve(
                name,
                self.population,
                event,
                by="adversary",
                source_label=str(number),
                cohorts=named,
            )
        except BudgetExceeded:
            self._refused(name, most + cost < opened.limit_rdp * (1 - TOLERANCE), before)
            return
        self.admitted += 1
        self.adversary.sees(event)
        self._admitted(name, opened, spent, dict.fromkeys(named or spent, cost))

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
        self.adversary.was_refused()
        if self.ledger.entries() != before or self.ledger.reservation(name) is not None:
            self.faults.append(f"{name} was refused and left an entry")
        if would_fit:
            self.faults.append(f"{name} was refused though it fits")

    def _sums(self, entries: list[Entry], opened: Population) -> dict[str, float]:
        return charged(
            [entry for entry in entries if entry.population == self.population],
            opened.order,
            opened.cohorts,
        )

    def ends(self) -> None:
        """The whole against the ledger's own figure, and against the second opinion."""
        opened, own = self.ledger.population(self.population), self.ledger.entries(self.population)
        total, said = (
            max(self._sums(own, opened).values()),
            self.ledger.balance(self.population).spent_rdp,
        )
        if abs(total - said) > TOLERANCE * opened.limit_rdp:
            self.faults.append(
                f"the ledger says that {said:.6f} is spent of {self.population}, its mechanisms add"
                f" up to {total:.6f}"
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


def note_too_little(path: Path, population: str, event: dpa.DpEvent) -> None:
    """A charge whose noted figures say almost nothing while its mechanism costs as much as it
    costs: the mechanism counts.
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
        game(ledger, name, *declared, seed=seed, greed=0.5)
        for seed, (name, declared) in enumerate(POPULATIONS.items())
    ]
    note_too_little(path, "wide", DiscreteGaussianDpEvent(2.0))
    for number in range(ROUNDS):
        for one in games:
            one.round(number)
            _meddle(ledger, one, number)
    for one in games:
        one.ends()
    faults = [fault for one in games for fault in one.faults]
    figures = {
        "refreshes": float(ROUNDS * len(games)),
        "admitted": float(sum(one.admitted for one in games)),
        "refused": float(sum(one.refused for one in games)),
        "largest_share": max(one.largest_share for one in games),
    }
    vacuous = [one.population for one in games if not (one.admitted and one.refused)]
    said = (
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
    return Finding(held=not faults and not vacuous, said=said, figures=figures)


def _meddle(ledger: Ledger, one: Game, number: int) -> None:
    """An early release is abandoned; a budget is raised; a later release is asked for a second
    time, which must charge nothing.
    """
    if number == ROUNDS // 2 and one.population in RAISED:
        ledger.raise_budget(
            one.population,
            epsilon=RAISED[one.population],
            reason="the adversary's choice",
            by="adversary",
        )
    held = ledger.reservation(f"{one.population}-{number}")
    if held is None:
        return
    if number < 4:
        ledger.abandon(held.release_id, "the adversary's choice", "adversary")
        return
    before = ledger.chain_head()
    ledger.reserve(
        held.release_id,
        one.population,
        held.event,
        by="adversary",
        source_label=held.source_label,
        cohorts=held.cohorts,
    )
    if ledger.chain_head() != before:
        one.faults.append(f"{held.release_id} was charged twice")


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
