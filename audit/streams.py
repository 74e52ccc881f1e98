"""Streams: no batch and no noise comes again at any lag, in whatever order; each step takes as many
words of keystream as its mechanism needs, and no word is taken twice.
"""

from __future__ import annotations

import math
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from scipy import stats

from audit.descent import descent
from audit.findings import Check, Finding
from audit.loops import CHECKPOINT, PATIENTS, Step, mechanism, watch
from audit.toy_loops import LOOPS, CriticLoop, PathwayLoop
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd
from pipeline.dp.tape import Tape

Array = np.ndarray[Any, Any]

ALARM = 1e-7  # chance that a check of sound code fails
MANY = 256  # patients of a long row of batches
PAST = 0.6  # correlation of two steps' noises that chance does not reach with 140 weights


def overlap(joined: Array) -> float:
    """The largest overlap of two batches, bool [steps, n], each patient in by a fair coin: at all
    lags, at all rotations of the patients, in their order and mirrored. In units of what chance
    would pass once in 1 / ALARM, by Hoeffding's bound for sums of n fair signs.
    """
    signs = np.where(joined, 1.0, -1.0)
    steps, n = signs.shape
    waves, most = np.fft.rfft(signs, axis=1), 0.0
    for lag in range(1, steps):
        for other in (waves[lag:].conj(), waves[lag:]):
            sums = np.fft.irfft(waves[:-lag] * other, n, axis=1)
            most = max(most, float(np.abs(sums).max()))
    compared = steps * (steps - 1) * n
    return most / math.sqrt(2 * n * math.log(2 * compared / ALARM))


def equal_sizes(joined: Array) -> float:
    """p-value of how often two batches that are so many steps apart have one size, over all lags:
    a batch that is another one with its patients exchanged has that one's size.
    """
    (steps, n), sizes = joined.shape, joined.sum(1)
    chance, least = float((stats.binom.pmf(np.arange(n + 1), n, 0.5) ** 2).sum()), 1.0
    for lag in range(1, steps):
        # of blocks beside each other: no batch is in two pairs
        first = np.flatnonzero(np.arange(steps - lag) // lag % 2 == 0)
        same = int((sizes[first] == sizes[first + lag]).sum())
        least = min(least, float(stats.binom.sf(same - 1, len(first), chance)))
    return min(1.0, least * steps)


def _finding(what: str, joined: Array, noises: Sequence[Array] = ()) -> Finding:
    most, p = overlap(joined), equal_sizes(joined)
    alike = _alike(noises)
    return Finding(
        holds=most < 1 and p > ALARM and alike < PAST,
        figures={"overlap": most, "p_of_sizes": p, "noises_alike": alike},
        message=(
            f"{what}: of {len(joined)} batches no two overlap more than {most:.2f} times what"
            f" chance leaves, at all lags, rotated and mirrored; sizes are as unequal as chance"
            f" has them, p = {p:.2g}; noises of two steps correlate by {alike:.2f} at most"
        ),
    )


def _alike(noises: Sequence[Array]) -> float:
    """The largest correlation of two noises, in their order and mirrored."""
    if not noises:
        return 0.0
    both = np.corrcoef(np.array([*noises, *(noise[::-1] for noise in noises)]))
    np.fill_diagonal(both, 0.0)
    n = np.arange(len(noises))
    both[n, n + len(noises)] = both[n + len(noises), n] = 0.0  # each beside its own mirror
    return float(np.abs(both).max())


def _joined(batches: Sequence[Array], n: int) -> Array:
    joined = np.zeros((len(batches), n), dtype=bool)
    for row, batch in zip(joined, batches, strict=True):
        row[batch] = True
    return joined


def sampled(steps: int, _folder: Path) -> Finding:
    half, noise = descent(1.0, sampling_probability=0.5), NoiseStream()
    return _finding("the sampler", _joined([half.sample(MANY, noise) for _ in range(steps)], MANY))


def in_training(name: str, folder: Path) -> Finding:
    """The real loop: what its steps sampled, and their noises."""
    loop = CriticLoop(MANY) if name == "critic" else PathwayLoop(MANY, micro_batch=MANY)
    steps: list[Step] = []
    loop.run(
        watch(mechanism(), steps, steps=24, sampling_probability=0.5),
        tape=Tape(),
        noise=NoiseStream(),
        checkpoint=folder / "checkpoint",
        checkpoint_steps=24,
        progress=lambda line: None,
    )
    joined = _joined([step.sampled for step in steps], MANY)
    return _finding(f"{name} training", joined, [step.noise for step in steps])


@contextmanager
def recording() -> Iterator[list[Array]]:
    """All words of keystream that this process takes while the block runs."""
    words, bits = list[Array](), NoiseStream.bits

    def note(noise: NoiseStream, n: int) -> Array:
        words.append(bits(noise, n))
        return words[-1]

    with patch.object(NoiseStream, "bits", note):
        yield words


def words_of_steps(name: str, folder: Path) -> Finding:
    """How many words each step of the real loop takes, for nobody, one patient and many: one for
    each patient's coin, and two for each pair of weights.
    """
    amounts: dict[int, set[int]] = {}
    needed: dict[int, int] = {}
    for n in (0, 1, PATIENTS):
        with recording() as words:
            marks, shapes = _marks(name, n, words, folder / f"of-{n}")
        amounts[n] = set(np.diff([0, *marks]).tolist())
        needed[n] = n + sum(2 * ((size + 1) // 2) for size in shapes)
    holds = all(amounts[n] == {needed[n]} for n in amounts)
    return Finding(
        holds=holds,
        figures={f"words_of_{n}": max(of) for n, of in amounts.items()},
        message=(
            f"{name} training: steps took"
            f" {', '.join(f'{sorted(of)} words for {n} patients' for n, of in amounts.items())};"
            f" needed are {sorted(needed.values())}"
        ),
    )


def _marks(name: str, n: int, words: list[Array], folder: Path) -> tuple[list[int], list[int]]:
    """How many words were taken by the end of each step, and the sizes of the weights."""
    marks: list[int] = []
    shapes: list[int] = []

    class Metered(DpSgd):
        def noisy_gradient(self, clipped_sums: Any, like: Any, noise: NoiseStream) -> Any:
            noisy = super().noisy_gradient(clipped_sums, like, noise)
            marks.append(sum(map(len, words)))
            shapes[:] = [value.numel() for value in like.values()]
            return noisy

    LOOPS[name](n).run(
        Metered(**asdict(mechanism())),
        tape=Tape(),
        noise=NoiseStream(),
        checkpoint=folder,
        checkpoint_steps=CHECKPOINT,
        progress=lambda line: None,
    )
    return marks, shapes


class _Died(Exception):
    pass


def no_word_twice(folder: Path) -> Finding:
    """Two streams that draw what mechanisms need; children forked from one; a training that dies
    and two that go on from copies of its checkpoint. 64-bit words of a cipher do not come again.
    """
    like = {"weight": torch.zeros(2_000)}
    with recording() as words:
        streams = [NoiseStream(), NoiseStream()]
        for step in range(60):
            for noise in streams:
                descent(1.0).sample(300 + step % 2, noise)
                descent(1.0).noisy_gradient([], like, noise)
                noise.discrete_gaussian(3.0, 20)
        words += _of_children(streams[0])
        streams[0].bits(2_000)
        _attempts(folder)
    everything = np.concatenate(words)
    repeated = len(everything) - len(np.unique(everything))
    return Finding(
        holds=repeated == 0,
        figures={"words": len(everything), "repeated": repeated},
        message=(
            f"of {len(everything):,} words of keystream, over two streams, two forks and two"
            f" resumes, {repeated} came twice"
        ),
    )


def _tell(noise: NoiseStream, sender: Any) -> None:
    sender.send(noise.bits(2_000))


def _of_children(noise: NoiseStream) -> list[Array]:
    context, words = multiprocessing.get_context("fork"), []
    for _ in range(2):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_tell, args=(noise, sender))
        child.start()
        sender.close()
        words.append(receiver.recv())
        child.join()
    return words


def _attempts(folder: Path) -> None:
    def die(line: str) -> None:
        if f"step {CHECKPOINT}/" in line:
            raise _Died

    def run(at: Path, progress: Callable[[str], None]) -> None:
        with suppress(_Died):
            CriticLoop(PATIENTS).run(
                replace(mechanism(), steps=2 * CHECKPOINT),
                tape=Tape(),
                noise=NoiseStream(),
                checkpoint=at,
                checkpoint_steps=CHECKPOINT,
                progress=progress,
            )

    run(folder / "first", die)
    for number in range(2):
        shutil.copytree(folder / "first", folder / f"again-{number}")
        run(folder / f"again-{number}", lambda line: None)


CHECKS: tuple[Check, ...] = (
    *(
        Check(
            name=f"batches never come again{suffix}",
            family="mechanisms",
            run=partial(sampled, steps),
            long=long,
            asks=(
                "no batch is an earlier one, at any lag, rotated, mirrored or with its patients"
                " exchanged"
            ),
        )
        for suffix, steps, long in (("", 160, False), (", many", 1_500, True))
    ),
    *(
        check
        for name in LOOPS
        for check in (
            Check(
                name=f"batches of {name} training never come again",
                family="mechanisms",
                run=partial(in_training, name),
                asks="no batch and no noise of the real loop is an earlier one, at any lag",
            ),
            Check(
                name=f"{name} training takes the words it needs",
                family="sampler",
                run=partial(words_of_steps, name),
                asks=(
                    "each step takes one word of keystream for each patient and two for each pair"
                    " of weights, whatever the rows and the batch"
                ),
            ),
        )
    ),
    Check(
        name="no word of keystream is taken twice",
        family="sampler",
        run=no_word_twice,
        asks="no block of keystream is used again, after a step, a fork or a resume",
    ),
)
