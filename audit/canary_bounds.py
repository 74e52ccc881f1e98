"""What guessed coins prove of epsilon, beside what the outputs were accounted for: Steinke, Nasr,
Jagielski 2023 (arxiv.org/abs/2305.08846) and Mahloujifar, Melis, Chaudhuri 2024
(arxiv.org/abs/2410.22235).
"""

from __future__ import annotations

from dataclasses import dataclass

import dp_accounting as dpa
import numpy as np

from pipeline.dp import accounting, one_run
from pipeline.dp.one_run import Guesses

DELTA = 1e-6
ALPHA = 0.05  # one less the confidence of the bounds that are shown
# at which the accountant is asked for its claim
DELTAS = tuple(float(delta) for delta in np.geomspace(DELTA, 0.5, 40))


@dataclass(frozen=True, eq=False)
class PathGuesses:
    """The guesses of coins from one kind of outputs, beside what it was accounted for."""

    path: str
    event: dpa.DpEvent
    guesses: tuple[Guesses, ...]  # one for each share of canaries

    def is_refuted(self, significance: float) -> bool:
        """Whether the claim, at all DELTAS, leaves these guesses a chance below `significance`;
        each share gets its part of it.
        """
        claims = [
            pair
            for pair in zip(accounting.epsilons(self.event, DELTAS), DELTAS, strict=True)
            if np.isfinite(pair[0])
        ]
        power = one_run.power_of_claims(claims)
        return any(
            one_run.refutes(power, guesses, significance / len(self.guesses))
            for guesses in self.guesses
        )

    @property
    def claim(self) -> float:
        return accounting.epsilon(self.event, DELTA)

    @property
    def epsilon(self) -> float:
        """Lower bound of epsilon at DELTA under (epsilon, delta) alone."""
        return max(
            one_run.epsilon_bound(guesses, DELTA, ALPHA / len(self.guesses))
            for guesses in self.guesses
        )

    @property
    def gaussian_epsilon(self) -> float:
        """Lower bound of epsilon at DELTA for a mechanism of Gaussian kind, as ours are."""
        return max(
            one_run.gaussian_epsilon_bound(guesses, DELTA, ALPHA / len(self.guesses))
            for guesses in self.guesses
        )

    def figures(self) -> dict[str, float]:
        return {
            f"{self.path}: claimed epsilon": self.claim,
            f"{self.path}: lower bound": self.epsilon,
            f"{self.path}: lower bound, Gaussian": self.gaussian_epsilon,
            **{
                f"{self.path}: accuracy of {guesses.n_guesses} guesses": guesses.accuracy
                for guesses in self.guesses
            },
        }
