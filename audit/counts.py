"""Noisy counts on worst-case neighbours: everybody else in known cells, and one patient more in one
cell.

Cells get independent noise, so a block in which every cell has a patient of its own, there or not
there, is as many runs as it has cells. Each block is read by two attempts, the second one as after
a crash: what an adversary sees is the mean of both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dp_accounting as dpa
import numpy as np
from scipy import stats

from audit.attempts import one_measurement
from audit.claims import DELTA, SURE, judge
from audit.findings import Check, Finding
from pipeline.dp.accounting import calibrate
from pipeline.dp.events import canonical_string, composed
from pipeline.dp.marginals import (
    MeasurementStore,
    NoisyCounts,
    one_way_counts,
    pair_counts,
    tree_counts,
)
from pipeline.dp.noise import NoiseStream

Array = np.ndarray[Any, Any]

_CELLS = 512
OTHERS = 3  # patients in each cell beside the one in question
_BRANCHING, _DEPTH = 16, 2


def block(scale: float, name: str = "block", cells: int = _CELLS) -> NoisyCounts:
    return NoisyCounts(name=name, sigma=scale, cells=cells)


def codes(present: bool, cells: int = _CELLS) -> Array:
    """One code per patient: OTHERS in each cell, and the patient in question of each cell."""
    return np.tile(np.arange(cells), OTHERS + present)


def mean_of_attempts(folder: Path, mechanism: NoisyCounts, counts: Callable[[], Array]) -> Array:
    """What an attempt and the attempt after it read of one block: their mean, [cells]."""
    attempts = [
        MeasurementStore(folder).get_or_measure(mechanism, counts, NoiseStream()) for _ in range(2)
    ]
    return np.mean(attempts, axis=0).ravel()


def block_scores(folder: Path, scale: float, present: bool, runs: int) -> Array:
    """Noisy counts less everybody else, [runs]."""
    counts = partial(one_way_counts, codes(present), _CELLS)
    blocks = [
        mean_of_attempts(folder / f"one-way-{present}", block(scale, f"block {k}"), counts)
        for k in range(-(-runs // _CELLS))
    ]
    return np.concatenate(blocks)[:runs] - OTHERS


def tree_scores(folder: Path, scale: float, present: bool, runs: int) -> Array:
    """Sums of the noisy counts on the patient's way down a tree, less everybody else, [runs]; a
    patient below each cell of the first level.
    """
    fine = codes(present, _BRANCHING) * _BRANCHING ** (_DEPTH - 1)
    scores = []
    for k in range(-(-runs // _BRANCHING)):
        levels = tree_counts(fine, _BRANCHING, _DEPTH)
        ways = [
            mean_of_attempts(
                folder / f"tree-{present}",
                block(scale, f"tree {k}, level {d}", level.size),
                partial(np.copy, level),
            )[:: _BRANCHING**d]
            for d, level in enumerate(levels)
        ]
        scores.append(np.sum(ways, axis=0) - _DEPTH * OTHERS)
    return np.concatenate(scores)[:runs]


def one_way(epsilon: float, runs: int, folder: Path) -> Finding:
    scale, claim = calibrate(lambda scale: block(scale).dp_event, epsilon, DELTA)
    return judge(
        "one-way counts", lambda present: block_scores(folder, scale, present, runs), claim
    )


def trees(epsilon: float, runs: int, folder: Path) -> Finding:
    scale, claim = calibrate(
        lambda scale: dpa.SelfComposedDpEvent(block(scale).dp_event, _DEPTH), epsilon, DELTA
    )
    return judge(
        "trees of counts", lambda present: tree_scores(folder, scale, present, runs), claim
    )


def independent(folder: Path) -> Finding:
    """Cells beside each other, halves of a block, blocks after each other: a cell's noise tells
    nothing of another's, nor do their sizes.
    """
    store, noise = MeasurementStore(folder / "counts"), NoiseStream()
    counts = partial(np.zeros, _CELLS, dtype=np.int64)
    # [blocks, cells]
    noises = np.array(
        [store.get_or_measure(block(20.0, f"block {k}"), counts, noise) for k in range(64)]
    )
    worst = 0.0
    for values in (noises.astype(float), noises.astype(float) ** 2):
        shapes = (
            (values[:, 1:], values[:, :-1]),
            (values[:, _CELLS // 2 :], values[:, : _CELLS // 2]),
            (values[1:], values[:-1]),
        )
        worst = max(
            worst,
            *(
                abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) * np.sqrt(one.size)
                for one, other in shapes
            ),
        )
    p = float(min(1.0, 12 * stats.norm.sf(worst)))
    # an eighth of the room: the normal law is only near, so far out
    return Finding(
        holds=p > (1 - SURE) / 8,
        figures={"p": p},
        message=(
            f"noises of {noises.size:,} cells are independent of their neighbours with p = {p:.2g}"
        ),
    )


def measure_once(folder: Path) -> Finding:
    return one_measurement([block(50.0, f"block {k}", 8) for k in range(5)], folder)


def same_event(folder: Path) -> Finding:
    """Blocks of one-way, pair and tree counts of nobody, of few and of many: one event, the
    reserved one.
    """
    reserved = composed([block(4.0).dp_event] * (2 + _DEPTH))
    tapes = set()
    for n in (0, 1, 300):
        store, cells = MeasurementStore(folder / f"of-{n}"), np.arange(n) % 4
        shapes = [
            one_way_counts(cells, 4),
            pair_counts(cells, cells, 4, 4),
            *tree_counts(cells, 2, _DEPTH),
        ]
        for k, counts in enumerate(shapes):
            store.get_or_measure(block(4.0, f"block {k}"), partial(np.copy, counts), NoiseStream())
        tapes.add(canonical_string(store.measured_event()))
    return Finding(
        holds=tapes == {canonical_string(reserved)},
        figures={"tapes": len(tapes)},
        message=(
            f"counts of 0, 1 and 300 patients left {len(tapes)} different tapes, to be 1 and the"
            " reserved event"
        ),
    )


def moved_by_one(_folder: Path) -> Finding:
    """One patient more, at any place of the table, in every kind of block; the sum of what
    moves.
    """
    rng, worst = np.random.default_rng(0), 0
    for _ in range(50):
        table = rng.integers(0, (5, 3, 27), size=(int(rng.integers(1, 30)), 3))
        at = int(rng.integers(len(table)))
        for whole, less in zip(_blocks(table), _blocks(np.delete(table, at, axis=0)), strict=True):
            worst = max(
                worst, int(np.abs(whole - less).sum()) if whole.shape == less.shape else 10**9
            )
    return Finding(
        holds=worst == 1,
        figures={"moved": worst},
        message=f"one patient moved a block of counts by {worst} at most, to be 1",
    )


def _blocks(table: Array) -> list[Array]:
    return [
        one_way_counts(table[:, 0], 5),
        pair_counts(table[:, 0], table[:, 1], 5, 3),
        *tree_counts(table[:, 2], 3, 3),
    ]


CHECKS = (
    *(
        Check(
            name=f"one-way counts at epsilon {epsilon}",
            family="mechanisms",
            run=partial(one_way, float(epsilon), runs),
            long=long,
            asks=(
                "a block of noisy counts keeps its claimed epsilon, also when an attempt dies and"
                " is run again"
            ),
        )
        for epsilon, runs, long in ((1, 60_000, False), (10, 30_000, False))
    ),
    *(
        Check(
            name=f"trees of counts at epsilon {epsilon}",
            family="mechanisms",
            run=partial(trees, float(epsilon), runs),
            long=long,
            asks="a tree charged at full depth keeps its claimed epsilon",
        )
        for epsilon, runs, long in ((1, 60_000, True), (10, 2_000, False))
    ),
    Check(
        name="one-way counts at epsilon 1, many runs",
        family="mechanisms",
        run=partial(one_way, 1.0, 1_000_000),
        long=True,
        asks="a block of noisy counts keeps its claimed epsilon, with a bound near it",
    ),
    Check(
        name="cells have noises of their own",
        family="mechanisms",
        run=independent,
        asks=(
            "the noise of a cell is independent of that of all others: who knows their counts"
            " learns nothing about it"
        ),
    ),
    Check(
        name="counts are measured once",
        family="mechanisms",
        run=measure_once,
        asks="a count that an attempt saw before it died is what every later attempt sees",
    ),
    Check(
        name="counts leave the same event whatever the rows",
        family="mechanisms",
        run=same_event,
        asks="the tape of measured counts does not depend on rows",
    ),
    Check(
        name="one patient moves a block of counts by 1",
        family="mechanisms",
        run=moved_by_one,
        asks="adding or removing one patient moves one cell of each block by 1",
    ),
)
