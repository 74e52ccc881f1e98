"""Private choices on worst-case neighbours: one patient more moves scores in opposite directions,
by as much as is allowed.

Of each run an adversary knows the scores with the patient and without, and all picks in order. The
best test's score is the log of how much likelier the picks are with the patient: exact, from the
probabilities that McSherry and Talwar 2007 give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from audit.attempts import one_measurement
from audit.claims import DELTA, judge
from audit.findings import Check, Finding
from pipeline.dp.accounting import calibrate
from pipeline.dp.noise import NoiseStream
from pipeline.dp.selection import PrivateChoice, round_epsilon_down
from pipeline.models.table.measure import pairs

Array = np.ndarray[Any, Any]

_CANDIDATES = 12
# what a patient adds to each score; the last ones up, so that ties are not broken their way
_HALVES = "half of the scores up, half of them down"
NEIGHBOURS: Mapping[str, Array] = {
    _HALVES: np.repeat([-1, 1], _CANDIDATES // 2),
    "one score up, all others down": np.repeat([-1, 1], [_CANDIDATES - 1, 1]),
    "all scores up": np.ones(_CANDIDATES, np.int64),
}


def choice(epsilon: float, picks: int, name: str = "choice") -> PrivateChoice:
    """A choice with the largest epsilon of a pick that is on the grid and at most `epsilon`."""
    return PrivateChoice(
        name=name,
        epsilon=round_epsilon_down(min(epsilon, 16.0)),
        picks=picks,
        candidates=_CANDIDATES,
    )


def log_chances(picks: Array, scores: Array, epsilon: float) -> Array:
    """The log of the chance of these picks in this order: float64 [runs]. picks: [runs, picks]."""
    weights = np.tile(epsilon / 2 * scores.astype(float), (len(picks), 1))
    runs, total = np.arange(len(picks)), np.zeros(len(picks))
    for place in picks.T:
        total += weights[runs, place] - special.logsumexp(weights, axis=1)
        weights[runs, place] = -np.inf
    return total


def run_picks(mechanism: PrivateChoice, scores: Array, runs: int) -> Array:
    """Picks of independent runs: int64 [runs, picks]."""
    noise = NoiseStream()
    return np.array([mechanism.measure(scores, noise) for _ in range(runs)])


def worst_neighbours(epsilon: float, picks: int, runs: int, _folder: Path) -> Finding:
    """Each of NEIGHBOURS against the claim; the finding of the first that does not hold, or of the
    one that shows most.
    """
    scale, claim = calibrate(lambda scale: choice(1 / scale, picks).dp_event, epsilon, DELTA)
    mechanism, nobody = choice(1 / scale, picks), np.zeros(_CANDIDATES, np.int64)
    without = run_picks(mechanism, nobody, runs)
    findings = []
    for what, moves in NEIGHBOURS.items():
        pair = {True: run_picks(mechanism, moves, runs), False: without}
        # where all scores move alike nothing is likelier: a test of the halves is as good as any
        tested = moves if np.ptp(moves) else NEIGHBOURS[_HALVES]
        of_test = {
            present: log_chances(of, tested, mechanism.epsilon)
            - log_chances(of, nobody, mechanism.epsilon)
            for present, of in pair.items()
        }
        what = f"{picks} picks of {_CANDIDATES}, {what}"
        findings.append(judge(what, of_test.__getitem__, claim))
    return min(findings, key=lambda finding: (finding.holds, -finding.figures["epsilon_at_least"]))


def scores_move_by_one(_folder: Path) -> Finding:
    """One patient more, anywhere in the table, beside expected counts of any size: what each score
    of each candidate of the table model moves by.
    """
    rng, moved = np.random.default_rng(0), []
    sizes = {"a": 2, "b": 5, "c": 3, "d": 7}
    candidates = list(combinations(sizes, 2))
    for size in (0.0, 3.2, 40.0, 1000.5):
        shares = {
            (a, b): rng.dirichlet(np.full(sizes[a] * sizes[b], 0.5)).reshape(sizes[a], sizes[b])
            for a, b in candidates
        }
        for _ in range(25):
            n = int(rng.integers(1, 60))
            groups = {name: rng.integers(0, most, n) for name, most in sizes.items()}
            at = int(rng.integers(n))
            less = {name: np.delete(of, at) for name, of in groups.items()}
            whole, rest = (
                pairs._scores(candidates, of, sizes, shares.__getitem__, size, 10.0)
                for of in (groups, less)
            )
            moved.append(np.abs(whole - rest))
    most = int(np.max(moved))
    return Finding(
        holds=most == 1,
        figures={"moved": most, "tables": len(moved)},
        message=f"one patient moved the scores of a choice by {most} at most, to be 1",
    )


def drawn_once(folder: Path) -> Finding:
    return one_measurement([choice(0.5, 8, f"choice {k}") for k in range(5)], folder)


def _check(epsilon: int, picks: int, runs: int, long: bool = False) -> Check:
    run: Callable[[Path], Finding] = partial(worst_neighbours, float(epsilon), picks, runs)
    times = "one pick" if picks == 1 else f"{picks} picks"
    return Check(
        name=f"a private choice, {times}, at epsilon {epsilon}" + (", many runs" if long else ""),
        family="mechanisms",
        run=run,
        long=long,
        asks="a private choice keeps its claimed epsilon whichever way a patient moves its scores",
    )


CHECKS: tuple[Check, ...] = (
    _check(1, 1, 3000),
    _check(10, 6, 600),
    _check(1, 6, 100_000, long=True),
    Check(
        name="one patient moves each score of a choice by 1",
        family="mechanisms",
        run=scores_move_by_one,
        asks=(
            "adding or removing one patient moves the score of each candidate pair of the table"
            " model by at most 1"
        ),
    ),
    Check(
        name="choices are drawn once",
        family="mechanisms",
        run=drawn_once,
        asks="picks that an attempt saw before it died are what every later attempt sees",
    ),
)
