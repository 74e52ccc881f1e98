"""DP-SGD on worst-case neighbours: a patient whose gradient is the clip norm in a direction of his
or her own.

Steps run end to end as training runs them: sample, clipped sums of micro-batches, noisy gradient.
Everybody has four rows, and unclipped gradients of 40 times the clip norm. Noise on coordinates is
independent; so where each of many patients has a coordinate of his or her own, one step is as many
runs as there are such patients. Recurrent networks, whose weights are shared: `descent_recurrent`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import dp_accounting as dpa
import numpy as np
import torch
from torch import Tensor, nn

from audit.claims import DELTA, judge, loss
from audit.counts import OTHERS, block, codes, mean_of_attempts
from audit.findings import Check, Finding
from pipeline.dp.accounting import calibrate
from pipeline.dp.marginals import one_way_counts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd, micro_batches

Array = np.ndarray[Any, Any]
Sums = dict[str, Tensor]

TARGETS = 512  # patients in question, a coordinate each
BESIDE = 64  # patients in both neighbours, who share one more coordinate
ROWS = 4  # of each patient
SIZE = 10.0  # of a row's gradient; the clip norm is 1
MICRO_BATCH = 100  # so that a batch has several


@dataclass(frozen=True)
class Way:
    """One way to clipped sums: of the patients with these coordinates, each with ROWS rows. The
    parameter has a weight per coordinate.
    """

    clipped_sum: Callable[[DpSgd, Array], Sums]
    like: Sums


def functional() -> Way:
    """`DpSgd.clipped_sum`, one gradient per patient by vmap."""
    weights = {"weight": torch.zeros(TARGETS + 1)}

    def of_patient(weights: Sums, rows: Tensor) -> Tensor:
        return SIZE * (rows @ weights["weight"]).sum()

    return Way(
        lambda mechanism, coordinates: mechanism.clipped_sum(
            of_patient, weights, _one_hot(coordinates)[:, None].expand(-1, ROWS, -1)
        ),
        weights,
    )


def linear() -> Way:
    """Ghost clipping of a Linear layer."""
    return _ghost(nn.Linear(TARGETS + 1, 1, bias=False), _one_hot)


def embedding() -> Way:
    """Ghost clipping of an EmbeddingBag."""
    return _ghost(
        nn.EmbeddingBag(TARGETS + 1, 1, mode="sum"),
        lambda coordinates: torch.from_numpy(coordinates)[:, None],
    )


def _ghost(layer: nn.Module, encode: Callable[[Array], Tensor]) -> Way:
    model = nn.Sequential(layer)

    def clipped_sum(mechanism: DpSgd, coordinates: Array) -> Sums:
        rows, owner = (
            encode(np.repeat(coordinates, ROWS)),
            torch.arange(len(coordinates)).repeat_interleave(ROWS),
        )
        return mechanism.ghost_clipper(model).clipped_sum(
            lambda: SIZE * model(rows).flatten(), owner, len(coordinates)
        )

    return Way(clipped_sum, dict(model.named_parameters()))


WAYS: dict[str, Callable[[], Way]] = {
    "functional": functional,
    "linear": linear,
    "embedding": embedding,
}


def _one_hot(coordinates: Array) -> Tensor:
    return nn.functional.one_hot(torch.from_numpy(coordinates), TARGETS + 1).float()


def step(way: Way, mechanism: DpSgd, present: bool, noise: NoiseStream) -> Array:
    """The targets' coordinates of one noisy gradient, in units of the clip norm and undivided,
    float64 [TARGETS].
    """
    coordinates = np.concatenate([np.full(BESIDE, TARGETS), np.arange(TARGETS * present)])
    sampled = mechanism.sample(len(coordinates), noise)
    sums = (
        way.clipped_sum(mechanism, coordinates[part])
        for part in micro_batches(sampled, MICRO_BATCH)
    )
    [noisy] = mechanism.noisy_gradient(sums, way.like, noise).values()
    return (
        noisy.flatten().double().numpy()[:TARGETS]
        * mechanism.expected_batch_size
        / mechanism.l2_clip_norm
    )


def descent(noise_multiplier: float, steps: int = 1, sampling_probability: float = 0.25) -> DpSgd:
    return DpSgd(
        steps=steps,
        sampling_probability=sampling_probability,
        l2_clip_norm=1.0,
        noise_multiplier=noise_multiplier,
        expected_batch_size=sampling_probability * (TARGETS + BESIDE),
    )


def step_scores(way: Way, mechanism: DpSgd, present: bool, runs: int) -> Array:
    """Losses of whole trainings of mechanism.steps steps, [runs]."""
    noise = NoiseStream()
    return np.concatenate(
        [
            sum(
                loss(mechanism.step_event, step(way, mechanism, present, noise))
                for _ in range(mechanism.steps)
            )
            for _ in range(-(-runs // TARGETS))
        ]
    )[:runs]


def one_step(name: str, epsilon: float, runs: int, _folder: Path) -> Finding:
    scale, claim = calibrate(lambda scale: descent(scale).dp_event, epsilon, DELTA)
    way = WAYS[name]()
    return judge(
        f"a DP-SGD step, {name}",
        lambda present: step_scores(way, descent(scale), present, runs),
        claim,
    )


@dataclass(frozen=True)
class Release:
    """Three blocks of counts and six steps under one scale: a small release."""

    scale: float

    @cached_property
    def steps(self) -> DpSgd:
        return descent(self.scale, steps=6)

    @cached_property
    def sigmas(self) -> tuple[float, ...]:
        return (3 * self.scale, 4 * self.scale, 5 * self.scale)

    @property
    def dp_event(self) -> dpa.DpEvent:
        return dpa.ComposedDpEvent(
            [self.steps.dp_event, *(block(sigma).dp_event for sigma in self.sigmas)]
        )

    def scores(self, folder: Path, present: bool, runs: int) -> Array:
        """Losses of everything together, [runs]: TARGETS patients in one release, each with a cell
        and a coordinate.
        """
        counts = partial(one_way_counts, codes(present, TARGETS), TARGETS)
        total = step_scores(linear(), self.steps, present, runs)
        for k in range(-(-runs // TARGETS)):
            part = slice(k * TARGETS, min((k + 1) * TARGETS, runs))
            for b, sigma in enumerate(self.sigmas):
                mechanism = block(sigma, f"release {k}, block {b}", TARGETS)
                noisy = mean_of_attempts(folder / f"counts-{present}", mechanism, counts) - OTHERS
                total[part] += loss(mechanism.dp_event, noisy)[: part.stop - part.start]
        return total


def composition(epsilon: float, runs: int, folder: Path) -> Finding:
    scale, claim = calibrate(lambda scale: Release(scale).dp_event, epsilon, DELTA)
    return judge(
        "six steps and three blocks",
        lambda present: Release(scale).scores(folder, present, runs),
        claim,
    )


CHECKS = (
    *(
        Check(
            name=f"a DP-SGD step, {name}, at epsilon {epsilon}",
            family="mechanisms",
            run=partial(one_step, name, float(epsilon), runs),
            asks="one step, sampled, clipped and noised as in training, keeps its claimed epsilon",
        )
        for name in WAYS
        for epsilon, runs in ((1, 60_000), (10, 20_000))
    ),
    *(
        Check(
            name=f"composition at epsilon {epsilon}",
            family="mechanisms",
            run=partial(composition, float(epsilon), runs),
            asks="several steps and blocks together keep the epsilon of their joint event",
        )
        for epsilon, runs in ((1, 40_000), (10, 6_000))
    ),
    Check(
        name="a DP-SGD step at epsilon 1, many runs",
        family="mechanisms",
        run=partial(one_step, "linear", 1.0, 600_000),
        long=True,
        asks="one step keeps its claimed epsilon, with a bound near it",
    ),
    Check(
        name="composition at epsilon 1, many runs",
        family="mechanisms",
        run=partial(composition, 1.0, 300_000),
        long=True,
        asks=(
            "several steps and blocks together keep the epsilon of their joint event, with a bound"
            " near it"
        ),
    ),
)
