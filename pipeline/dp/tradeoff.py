"""What any test between two neighbours can reach under a claimed event: the trade-off of its power
against its false alarms.

Dong, Roth, Su 2022, "Gaussian differential privacy", Definition 2.1 and Proposition 2.12
(arxiv.org/abs/1905.02383): a test that says "the patient was there" with chance `false_alarm` where
he or she was not says so with chance at most e^epsilon x false_alarm + delta where he or she was,
for every (epsilon, delta) that holds. The pairs come from the same privacy loss distributions as
the accounting.
"""

from dataclasses import dataclass
from typing import Any

import dp_accounting as dpa
import numpy as np

from pipeline.dp.accounting import loss_distributions
from pipeline.dp.pld import LossGrid

Array = np.ndarray[Any, Any]

_MOST_POINTS = 2048  # pairs kept of each direction; fewer pairs only allow a test more
_LARGEST_EPSILON = 600.0


@dataclass(frozen=True, eq=False)
class TradeOff:
    """Pairs (factor >= 1, delta) that hold for an event, in both directions. `tradeoff`
    makes it."""

    removed: tuple[Array, Array]  # P(with) <= factor P(without) + delta
    added: tuple[Array, Array]  # P(without) <= factor P(with) + delta

    def largest_power(self, false_alarm: Array | float) -> Array:
        """The most power, in [0, 1], that a test with this chance of a false alarm has; of the
        shape of `false_alarm`.
        """
        alarm = np.asarray(false_alarm, dtype=float)[..., None]
        factor, delta = self.removed
        by_removed = (factor * alarm + delta).min(axis=-1)
        # read on the test's silence: 1 - alarm <= factor (1 - power) + delta
        factor, delta = self.added
        by_added = (1 - (1 - alarm - delta) / factor).min(axis=-1)
        return np.minimum(by_removed, by_added).clip(0.0, 1.0)

    @property
    def advantage(self) -> float:
        """The most that power can exceed the chance of a false alarm, in [0, 1]: the total
        variation distance of two neighbours.
        """
        return min(
            1.0,
            *(float((factor - 1 + delta).min()) for factor, delta in (self.removed, self.added)),
        )


def tradeoff(event: dpa.DpEvent) -> TradeOff:
    """The trade-off of everything in the event together, never stricter than the true one. Raises
    MechanismError for an event of nothing, or one that the accounting does not know.
    """
    removed, added = loss_distributions(event)
    pairs = _pairs(removed)
    return TradeOff(pairs, pairs if added is removed else _pairs(added))


def _pairs(grid: LossGrid) -> tuple[Array, Array]:
    """(e^epsilon, delta) at grid points from 0 on: delta = infinite mass + sum over larger losses
    of mass (1 - e^(epsilon - loss)).
    """
    losses = (grid.lowest + np.arange(len(grid.mass))) * grid.interval
    above = np.append(np.cumsum(grid.mass[::-1])[::-1], 0.0)
    other = np.append(
        np.cumsum((grid.mass * np.exp(-losses.clip(min=-_LARGEST_EPSILON)))[::-1])[::-1], 0.0
    )
    delta = grid.infinite + above[1:] - np.exp(losses.clip(max=_LARGEST_EPSILON)) * other[1:]
    points = np.flatnonzero((losses >= 0) & (losses <= _LARGEST_EPSILON))
    points = points[:: max(1, len(points) // _MOST_POINTS)]
    # rounding of the two sums: at most 1e-12, as in the accounting
    return np.exp(losses[points]), (delta[points] + 1e-12).clip(grid.infinite, 1.0)
