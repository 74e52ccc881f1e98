"""What stored mechanisms add up to, by formulas written out once more and by dp_accounting's own
accountant, so that a mistake of the ledger's arithmetic is not repeated.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any

import dp_accounting as dpa

from pipeline.dp.events import (
    DiscreteGaussianDpEvent,
    ExponentialMechanismDpEvent,
    flatten,
    from_json,
)
from pipeline.ledger import Entry, Population

EVERYBODY = ""  # the one cohort of a population without cohorts


def divergence(event: dpa.DpEvent, order: int) -> float:
    """Renyi divergence at a whole order, from the formulas: order / (2 sigma^2); Mironov, Talwar,
    Zhang 2019, equation 3, term by term; of a pick the mean of likelihood ratios under the density
    that dominates it.
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
    if isinstance(leaf, ExponentialMechanismDpEvent):
        epsilon, k = leaf.epsilon, order - 0.5
        mean = math.sinh(k * epsilon) / (2 * k * math.sinh(epsilon / 2))
        return math.log(mean) / (order - 1)
    sigma = leaf.sigma if isinstance(leaf, DiscreteGaussianDpEvent) else leaf.noise_multiplier
    return order / (2 * float(sigma) ** 2)


@lru_cache(maxsize=4096)
def _divergence_of(event: str, order: int) -> float:
    return divergence(from_json(json.loads(event)), order)


def sums_by_cohort(
    entries: list[Entry], order: int, cohorts: tuple[str, ...] = ()
) -> dict[str, float]:
    """{cohort: the sum over every stored mechanism that opened its rows}, whatever figures stand
    beside them and whatever became of the releases.
    """
    sums: dict[str, list[float]] = {cohort: [] for cohort in cohorts or (EVERYBODY,)}
    for facts in (entry.facts for entry in entries if entry.kind == "reserved"):
        for cohort in facts.get("cohorts") or sums:
            sums[cohort].append(_divergence_of(json.dumps(facts["event"]), order))
    return {cohort: math.fsum(costs) for cohort, costs in sums.items()}


def second_opinion(entries: list[Entry], population: Population) -> float:
    """Epsilon of the same mechanisms by dp_accounting's accountant at the population's order alone,
    for the cohort where it is largest.
    """
    epsilons = []
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
        epsilons.append(float(accountant.get_epsilon(population.delta)))
    return max(epsilons)
