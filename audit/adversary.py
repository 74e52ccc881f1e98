"""An adaptive adversary: what it requests next is read off what came out before
(privacy_rules.md 14).
"""

from __future__ import annotations

import math

import dp_accounting as dpa
import numpy as np

from audit.stored_sums import divergence
from pipeline.dp.events import DiscreteGaussianDpEvent, composed, flatten
from pipeline.ledger import Population

MOST_STEPS = 2000  # of DP-SGD in one request: keeps the accounting of a request quick
SMALLEST = 1e-4  # of the limit: no request costs less


class Adversary:
    """Asks for one release after another. Every choice is read off the digits of the last noisy
    output.
    """

    def __init__(self, population: Population, noise: np.random.Generator, greed: float) -> None:
        self._order, self._limit, self._noise = population.order, population.limit_rdp, noise
        # the largest share of what is left that a request takes, where it means to be admitted
        self.greed = greed
        self._digits = 0
        self.observe(DiscreteGaussianDpEvent(1.0))

    def observe(self, event: dpa.DpEvent) -> None:
        """Its release came out: a count of one patient with the noise of the event's first part."""
        [leaf, *_] = flatten(event)
        sigma = (
            leaf.sigma
            if isinstance(leaf, DiscreteGaussianDpEvent)
            else getattr(leaf, "event", leaf).noise_multiplier
        )
        self._digits = int(abs(1 + sigma * self._noise.normal()) * 2**40)

    def observe_refusal(self) -> None:
        """A refusal is an answer, too."""
        self._digits = self._digits * 6364136223846793005 % 2**63 >> 7

    def cohorts(self, cohorts: tuple[str, ...]) -> tuple[str, ...]:
        """Whose rows the next release opens: one cohort's, or everybody's."""
        return ((), *((cohort,) for cohort in cohorts))[self._digits // 7 % (len(cohorts) + 1)]

    def request(self, left: float) -> dpa.DpEvent:
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
