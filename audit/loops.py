"""The training loops themselves, watched: what each step reads, adds up, divides by and leaves
behind.

A watched mechanism is the real one that keeps what passes through it. The gradients of the sampled
patients are made again, one patient and one backward pass at a time, and clipped by definition:
their sum is what a loop must hand to `noisy_gradient`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from audit.claims import SURE
from audit.findings import Check, Finding
from audit.toy_loops import LOOPS, Loop
from pipeline.dp.events import canonical_string, composed
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd
from pipeline.dp.tape import Tape

Array = np.ndarray[Any, Any]
Sums = dict[str, Tensor]

PATIENTS = 60
STEPS, CHECKPOINT = 6, 2
# noise multiplier of a training that shows its divisor; its normals are at most 10 times that
_QUIET = 1e-5
_ROUNDING = 1e-4  # of float32 sums, in units of the clip norm


@dataclass(frozen=True)
class Step:
    """What passed through the mechanism in one step."""

    n_patients: int  # given to the sampler
    sampled: Array  # int64 [b]
    weights: Sums  # at the time
    total: Sums  # of all clipped sums
    # noisy gradient x public divisor - total, in units of the accounted standard deviation, [p]
    noise: Array


def watch(mechanism: DpSgd, steps: list[Step], /, **changes: Any) -> DpSgd:
    """The mechanism, with some fields of its own, which notes its steps in `steps`."""
    samples: list[tuple[int, Array]] = []

    class Watched(DpSgd):
        def sample(self, n_patients: int, noise: NoiseStream) -> Array:
            samples.append((n_patients, super().sample(n_patients, noise)))
            return samples[-1][1]

        def noisy_gradient(self, clipped_sums: Any, like: Any, noise: NoiseStream) -> Sums:
            parts = list(clipped_sums)
            total = {
                name: sum((part[name] for part in parts), torch.zeros_like(value)).detach().clone()
                for name, value in like.items()
            }
            noisy = super().noisy_gradient(parts, like, noise)
            deviations = [
                (
                    (noisy[name].double() * self.expected_batch_size - total[name].double())
                    / (self.noise_multiplier * self.l2_clip_norm)
                ).flatten()
                for name in like
            ]
            # -1: not one sample per step
            n_patients, sampled = (
                samples[-1] if len(samples) == len(steps) + 1 else (-1, np.zeros(0, dtype=np.int64))
            )
            steps.append(
                Step(
                    n_patients,
                    sampled,
                    {name: value.detach().clone() for name, value in like.items()},
                    total,
                    torch.cat(deviations).numpy(),
                )
            )
            return noisy

    return Watched(**{**asdict(mechanism), **changes})


def mechanism(noise_multiplier: float = 1.0) -> DpSgd:
    return DpSgd(
        steps=STEPS,
        sampling_probability=0.25,
        l2_clip_norm=0.3,
        noise_multiplier=noise_multiplier,
        expected_batch_size=15.0,
    )


def clipped(loop: Loop, step: Step, clip: float) -> Tensor:
    """The definition: every sampled patient's gradient over all of his or her rows, scaled to the
    clip norm at most; their sum, [p].
    """
    total = torch.zeros(sum(value.numel() for value in step.weights.values()), dtype=torch.float64)
    for patient in step.sampled.tolist():
        gradient = torch.cat(
            [part.flatten() for part in loop.gradient(patient, step.weights)]
        ).double()
        total += gradient * min(1.0, clip / max(float(gradient.norm()), 1e-30))
    return total


def as_claimed(name: str, folder: Path) -> Finding:
    """Every step: a sample of all patients, the sum of the sampled ones' clipped gradients, the
    accounted noise, the public divisor.

    The divisor is looked at in a second training with next to no noise.
    """
    loop, steps, quiet_steps = LOOPS[name](PATIENTS), list[Step](), list[Step]()
    for noise_multiplier, notes in ((1.0, steps), (_QUIET, quiet_steps)):
        loop.run(
            watch(mechanism(noise_multiplier), notes),
            tape=Tape(),
            noise=NoiseStream(),
            checkpoint=folder / f"{noise_multiplier}",
            checkpoint_steps=CHECKPOINT,
            progress=lambda line: None,
        )
    off = max(
        float(
            (
                torch.cat([part.flatten() for part in step.total.values()]).double()
                - clipped(loop, step, mechanism().l2_clip_norm)
            ).norm()
        )
        for step in steps
    )
    of_all = all(step.n_patients == PATIENTS for step in steps)
    p = float(stats.kstest(np.concatenate([step.noise for step in steps]), "norm").pvalue)
    divisor_off = max(float(np.abs(step.noise).max()) for step in quiet_steps) * _QUIET
    holds = (
        len(steps) == STEPS
        and of_all
        and off <= _ROUNDING
        and p > 1 - SURE
        and divisor_off <= 10 * _QUIET
    )
    return Finding(
        holds=holds,
        figures={"steps": len(steps), "off": off, "p": p, "divided_off": divisor_off},
        message=(
            f"{name}: {len(steps)} steps of {STEPS}, samples of {'all' if of_all else 'not all'}"
            f" patients, sums off by {off:.1e} from the clipped gradients of the sampled ones,"
            f" noise of the accounted scale with p = {p:.2g}, quotients off by {divisor_off:.1e}"
            " from the public divisor"
        ),
    )


def same_event(name: str, folder: Path) -> Finding:
    """Nobody, one patient, many: the loop leaves the reserved event on the tape."""
    tapes = set()
    for n in (0, 1, PATIENTS):
        tape = Tape()
        LOOPS[name](n).run(
            mechanism(),
            tape=tape,
            noise=NoiseStream(),
            checkpoint=folder / f"of-{n}",
            checkpoint_steps=CHECKPOINT,
            progress=lambda line: None,
        )
        tapes.add(canonical_string(tape.event))
    holds = tapes == {canonical_string(composed([mechanism().dp_event]))}
    return Finding(
        holds=holds,
        figures={"tapes": len(tapes)},
        message=(
            f"{name}: trained on 0, 1 and {PATIENTS} patients, the tape"
            f" {'was the reserved event each time' if holds else 'was not the reserved event'}"
        ),
    )


CHECKS = tuple(
    check
    for name in LOOPS
    for check in (
        Check(
            name=f"{name} training runs its mechanism",
            family="mechanisms",
            run=partial(as_claimed, name),
            asks=(
                "each step of the real loop is a Poisson sample, clipped sums, noise and a public"
                " divisor, and nothing else"
            ),
        ),
        Check(
            name=f"{name} training leaves the same event whatever the rows",
            family="mechanisms",
            run=partial(same_event, name),
            asks="steps are fixed; an empty table is trained on as any other",
        ),
    )
)
