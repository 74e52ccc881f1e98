"""DP-SGD on worst-case neighbours: a patient whose gradient is the clip norm in a direction of his
or her own.

Steps run end to end as training runs them: sample, clipped sums of micro-batches, noisy gradient.
Everybody has four rows, and unclipped gradients of 40 times the clip norm. Noise on coordinates is
independent; so where each of many patients has a coordinate of his or her own, one step is as many
runs as there are such patients. In a recurrent network weights are shared, and each run is a step
for one patient.
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

from audit.claims import DELTA, judged, loss
from audit.counts import OTHERS, block, codes, seen
from audit.findings import Check, Finding
from pipeline.dp.accounting import calibrate
from pipeline.dp.marginals import one_way_counts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.recurrent import GhostGru
from pipeline.dp.sgd import DpSgd, micro_batches

Array = np.ndarray[Any, Any]
Sums = dict[str, Tensor]

TARGETS = 512  # patients in question, a coordinate each
_BESIDE = 64  # patients in both neighbours, who share one more coordinate
_ROWS = 4  # of each patient
_SIZE = 10.0  # of a row's gradient; the clip norm is 1
_MICRO_BATCH = 100  # so that a batch has several


@dataclass(frozen=True)
class Way:
    """One way to clipped sums: of the patients with these coordinates, each with _ROWS rows. The
    parameter has a weight per coordinate.
    """

    clipped_sum: Callable[[DpSgd, Array], Sums]
    like: Sums


def functional() -> Way:
    """`DpSgd.clipped_sum`, one gradient per patient by vmap."""
    weights = {"weight": torch.zeros(TARGETS + 1)}

    def of_patient(weights: Sums, rows: Tensor) -> Tensor:
        return _SIZE * (rows @ weights["weight"]).sum()

    return Way(
        lambda mechanism, coordinates: mechanism.clipped_sum(
            of_patient, weights, _one_hot(coordinates)[:, None].expand(-1, _ROWS, -1)
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
            encode(np.repeat(coordinates, _ROWS)),
            torch.arange(len(coordinates)).repeat_interleave(_ROWS),
        )
        return mechanism.ghost_clipper(model).clipped_sum(
            lambda: _SIZE * model(rows).flatten(), owner, len(coordinates)
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
    coordinates = np.concatenate([np.full(_BESIDE, TARGETS), np.arange(TARGETS * present)])
    sampled = mechanism.sample(len(coordinates), noise)
    sums = (
        way.clipped_sum(mechanism, coordinates[part])
        for part in micro_batches(sampled, _MICRO_BATCH)
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
        expected_batch_size=sampling_probability * (TARGETS + _BESIDE),
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
    return judged(
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
            mine = slice(k * TARGETS, min((k + 1) * TARGETS, runs))
            for b, sigma in enumerate(self.sigmas):
                mechanism = block(sigma, f"release {k}, block {b}", TARGETS)
                noisy = seen(folder / f"counts-{present}", mechanism, counts) - OTHERS
                total[mine] += loss(mechanism.dp_event, noisy)[: mine.stop - mine.start]
        return total


def composition(epsilon: float, runs: int, folder: Path) -> Finding:
    scale, claim = calibrate(lambda scale: Release(scale).dp_event, epsilon, DELTA)
    return judged(
        "six steps and three blocks",
        lambda present: Release(scale).scores(folder, present, runs),
        claim,
    )


class _Recurrent(nn.Module):
    """A GRU and a fixed head on a patient's rows, in a state where the recurrent weight has nearly
    all of the gradient: small rows, large states, open gates.
    """

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.gru, self.head = GhostGru(1, 32), nn.Linear(32, 1).requires_grad_(False)
        with torch.no_grad():
            # reset, update, new
            self.gru.input.bias.copy_(torch.tensor([2.0, -2.0, 1.5]).repeat_interleave(32))
        self.rows = torch.full((2 * _ROWS, 1), 0.1)

    def trained(self) -> Sums:
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if parameter.requires_grad
        }

    def clipped_sum(self, mechanism: DpSgd, n_patients: int) -> Sums:
        """Of as many patients with the same rows."""
        owner = torch.arange(n_patients).repeat_interleave(len(self.rows))
        rows = self.rows.repeat(n_patients, 1)
        return mechanism.ghost_clipper(self).clipped_sum(
            lambda: 1000 * _SIZE * self.head(self.gru(rows, owner)).flatten(), owner, n_patients
        )

    def direction(self) -> Tensor:
        """The patient's gradient by autograd, scaled to length 1, [p]."""
        total = self.head(self.gru(self.rows, torch.zeros(len(self.rows), dtype=torch.int64))).sum()
        gradient = torch.cat(
            [part.flatten() for part in torch.autograd.grad(total, list(self.trained().values()))]
        )
        return gradient / gradient.norm()


def recurrent(epsilon: float, runs: int, _folder: Path) -> Finding:
    """The patient is in every batch, so that a run is one Gaussian along her own gradient."""
    scale, claim = calibrate(
        lambda scale: descent(scale, sampling_probability=1.0).dp_event, epsilon, DELTA
    )
    mechanism, network, noise = (
        descent(scale, sampling_probability=1.0),
        _Recurrent(),
        NoiseStream(),
    )
    direction, like = network.direction(), network.trained()

    def score(present: bool) -> float:
        sums = (
            network.clipped_sum(mechanism, len(part))
            for part in micro_batches(mechanism.sample(int(present), noise), _MICRO_BATCH)
        )
        noisy = torch.cat(
            [value.flatten() for value in mechanism.noisy_gradient(sums, like, noise).values()]
        )
        return float(noisy @ direction) * mechanism.expected_batch_size

    return judged(
        "a DP-SGD step, recurrent",
        lambda present: np.array([score(present) for _ in range(runs)]),
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
    Check(
        name="a DP-SGD step, recurrent, at epsilon 10",
        family="mechanisms",
        run=partial(recurrent, 10.0, 400),
        asks="one step of a recurrent network keeps its claimed epsilon",
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
        name="a DP-SGD step, recurrent, at epsilon 1",
        family="mechanisms",
        run=partial(recurrent, 1.0, 8_000),
        long=True,
        asks="one step of a recurrent network keeps its claimed epsilon",
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
