"""What guessed coins prove of epsilon, beside what the outputs were accounted for.

From outputs alone: Steinke, Nasr, Jagielski 2023 (arxiv.org/abs/2305.08846) and Mahloujifar, Melis,
Chaudhuri 2024 (arxiv.org/abs/2410.22235). With all else known: `pipeline.dp.many_runs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dp_accounting as dpa
import numpy as np

from pipeline.dp import accounting, many_runs, one_run
from pipeline.dp.one_run import Guesses
from pipeline.dp.tradeoff import tradeoff

DELTA = 1e-6
ALPHA = 0.05  # one less the confidence of the bounds that are shown
SHARES = (0.05, 0.25, 0.5, 1.0)  # of coins that are guessed: fixed beforehand, and each paid for
# at which the accountant is asked for its claim
DELTAS = tuple(float(delta) for delta in np.geomspace(DELTA, 0.5, 40))


@dataclass(frozen=True, eq=False)
class PathResults:
    """What runs told of coins through one kind of outputs, beside what it was accounted for."""

    path: str
    event: dpa.DpEvent
    guesses: tuple[Guesses, ...]  # from outputs alone, of all runs' coins, for each of SHARES
    advantages: np.ndarray  # float [runs], of who knows all else
    by_run: tuple[tuple[Guesses, ...], ...] = ()  # as `guesses`, of each run's coins alone

    @classmethod
    def of(
        cls,
        path: str,
        event: dpa.DpEvent,
        scores: Sequence[np.ndarray],
        ratios: Sequence[np.ndarray],
        coins: Sequence[np.ndarray],
    ) -> PathResults:
        """From every run's scores, log likelihood ratios and coins, each [canaries]."""
        return cls(
            path,
            event,
            _guesses(np.concatenate(scores), np.concatenate(coins)),
            np.array(
                [
                    many_runs.advantage(ratio > 0, included)
                    for ratio, included in zip(ratios, coins, strict=True)
                ]
            ),
            tuple(_guesses(*run) for run in zip(scores, coins, strict=True)),
        )

    def is_refuted(self, significance: float) -> bool:
        """Whether the claim leaves the guesses a chance below `significance`: those of all coins
        together, or those of every single run; either gets half, and each share its part.

        Independent runs multiply their chances, so each is asked at the runs-th root.
        """
        claims = [
            pair
            for pair in zip(accounting.epsilons(self.event, DELTAS), DELTAS, strict=True)
            if np.isfinite(pair[0])
        ]
        power, half = one_run.power_of_claims(claims), significance / 2
        root = half ** (1 / max(len(self.by_run), 1))
        return _refute(power, self.guesses, half) or (
            len(self.by_run) > 1 and all(_refute(power, one, root) for one in self.by_run)
        )

    def is_refuted_by_advantages(self, significance: float) -> bool:
        """Whether the claim leaves the adversary's advantages a chance below `significance`."""
        return many_runs.is_refuted(self.advantages, tradeoff(self.event), significance)

    @property
    def shown_epsilon(self) -> float:
        """Lower bound of epsilon at DELTA by the adversary's advantages, for a mechanism of the
        claimed kind with more or less noise.
        """
        bound = many_runs.advantage_bound(self.advantages, ALPHA)
        return many_runs.family_epsilon(bound, self.event, DELTA)

    @property
    def approximate_epsilon(self) -> float:
        """The same by Student's t over runs."""
        bound = many_runs.student_bound(self.advantages, ALPHA)
        return many_runs.family_epsilon(bound, self.event, DELTA)

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
            f"{self.path}: mean advantage": float(self.advantages.mean()),
            **{
                f"{self.path}: accuracy of {guesses.n_guesses} guesses": guesses.accuracy
                for guesses in self.guesses
            },
        }


def _guesses(scores: np.ndarray, coins: np.ndarray) -> tuple[Guesses, ...]:
    """One for each of SHARES."""
    return tuple(one_run.guess(scores, coins, round(share * len(coins))) for share in SHARES)


def _refute(power: one_run.Power, guesses: tuple[Guesses, ...], significance: float) -> bool:
    return any(one_run.refutes(power, one, significance / len(guesses)) for one in guesses)
