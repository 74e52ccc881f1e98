"""The exponential mechanism: which of some candidates are measured next, chosen privately.

McSherry and Talwar 2007, section 3. Scores are integers, of which one patient moves each by at most
1; a pick has candidate i with probability proportional to exp(epsilon x score_i / 2). Several picks
are made one after the other among the candidates that are left (peeling), each of them one
mechanism of the accounting.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import dp_accounting as dpa
import numpy as np

from pipeline.dp.errors import MechanismError
from pipeline.dp.events import ExponentialMechanismDpEvent
from pipeline.dp.noise import NoiseStream

_LARGEST_SCORE = 2**61  # either way: differences are int64 yet, as a cap moves no more than a score
_LARGEST_GAP = 2**38  # between scores; times 16 times EPSILON_GRID it is an int64 yet
EPSILON_GRID = 2**20  # every epsilon of a pick is a multiple of 1/2^20
Array = np.ndarray[Any, Any]


def round_epsilon_down(epsilon: float) -> float:
    """The largest multiple of 1/2^20 on a public grid of powers of 1.01 that is at most `epsilon`:
    exact as a float and as a fraction. Never rounds up. Raises MechanismError for an epsilon that
    is not positive, above 16, or below the grid.

    >>> round_epsilon_down(0.02) <= 0.02, round_epsilon_down(round_epsilon_down(0.02)) > 0.0197
    (True, True)
    """
    if not (math.isfinite(epsilon) and 0 < epsilon <= 16):
        raise MechanismError(f"the epsilon of a pick must be in (0, 16], got {epsilon}")
    power = math.floor(math.log(epsilon) / math.log(1.01)) + 1
    while (rounded := _on_grid(1.01**power)) > epsilon:
        power -= 1
    if rounded <= 0:
        raise MechanismError(f"the epsilon of a pick must be at least 1/{EPSILON_GRID}")
    return rounded


def _on_grid(epsilon: float) -> float:
    return float(Fraction(math.floor(Fraction(epsilon) * EPSILON_GRID), EPSILON_GRID))


@dataclass(frozen=True, kw_only=True)
class PrivateChoice:
    """`picks` of at most `candidates` candidates, without repetition. Fields are public; scores of
    patients arrive only as an argument.

    Privacy unit: one patient. Neighbours: add or remove one patient. Sensitivity: 1, in each score.
    """

    name: str  # unique within a release
    epsilon: float  # of one pick; a multiple of 1/2^20
    picks: int
    candidates: int  # declared maximum; never a number that depends on rows

    def __post_init__(self) -> None:
        if not self.name:
            raise MechanismError("a PrivateChoice needs a name: it is stored under it")
        if not (0 < self.epsilon <= 16) or _on_grid(self.epsilon) != self.epsilon:
            raise MechanismError(
                f"{self.name}: epsilon must be a multiple of 1/{EPSILON_GRID} in (0, 16], got"
                f" {self.epsilon}"
            )
        if not 1 <= self.picks <= self.candidates:
            raise MechanismError(
                f"{self.name}: picks must be in [1, {self.candidates}], got {self.picks}"
            )

    @property
    def dp_event(self) -> dpa.DpEvent:
        """What is accounted: every pick, with the epsilon that `measure` uses."""
        return dpa.SelfComposedDpEvent(ExponentialMechanismDpEvent(self.epsilon), self.picks)

    def measure(self, scores: Array, noise: NoiseStream) -> Array:
        """Places of the picked candidates in the order of the picks, int64 [picks]. Safe to keep.

        scores: int64 [candidates]. Exact: a candidate proposed evenly is taken with chance
        exp(-epsilon (largest score - its score) / 2), by integers only. Raises MechanismError for
        scores that are not integers, fewer than there are picks, or more than declared.
        """
        if not np.issubdtype(scores.dtype, np.integer) or scores.ndim != 1:
            raise MechanismError(f"{self.name}: scores must be one row of integers")
        if not self.picks <= len(scores) <= self.candidates:
            raise MechanismError(
                f"{self.name}: {len(scores)} scores for {self.picks} picks of at most"
                f" {self.candidates}"
            )
        steps = int(self.epsilon * EPSILON_GRID)  # epsilon = steps / EPSILON_GRID, exactly
        left = scores.astype(np.int64).clip(-_LARGEST_SCORE, _LARGEST_SCORE)
        places = np.arange(len(scores))
        picked = []
        for _ in range(self.picks):
            # a cap of the gap moves by no more than the gap does
            gaps = np.minimum(left[places].max() - left[places], _LARGEST_GAP)
            place = noise.one_of(steps * gaps, 2 * EPSILON_GRID)
            picked.append(places[place])
            places = np.delete(places, place)
        return np.array(picked, dtype=np.int64)
