"""What all outputs of a training run say about the coins of its canaries: the best linear guess of
an auditor who sees everything but the coins.

White-box, as the guarantee's own adversary: every noisy count, every noisy gradient, the weights at
each step, and all other patients. Each output is a known linear function of the coins, plus noise,
plus what Poisson samples do. Given that, the coins' posterior means under a Gaussian prior come
from one linear system, in which canaries that share cells or directions are told apart as far as
they can be. The size of the noise is not believed but estimated, where no canary can reach: so an
output with too little noise is read as sharply as it allows. All of this is a function of the
output alone, as the bounds of `pipeline.dp.one_run` ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from pipeline.dp import marginals
from pipeline.dp.marginals import MeasurementStore, Storable
from pipeline.dp.noise import NoiseStream
from pipeline.dp.selection import PrivateChoice
from pipeline.dp.sgd import DpSgd

PRIOR = 4.0  # 1 / variance of a fair coin
# of the claimed noise: what is estimated below counts as this, so that nothing divides by zero
LEAST = 1e-3
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of a linear Gaussian model: `information` [m, m], and `vector` [m], the information times the
    coins less one half, plus its noise.
    """

    information: Array
    vector: Array

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(self.information + other.information, self.vector + other.vector)

    def scores(self) -> Array:
        """Posterior means of the coins, less one half: float64 [m]."""
        return np.asarray(
            np.linalg.solve(self.information + PRIOR * np.eye(len(self.vector)), self.vector)
        )


@dataclass(frozen=True, eq=False)
class Block:
    """One block of noisy counts, and everybody's cell in it."""

    sigma: float
    noisy: Array  # int64 [cells]
    cells: Array  # int64 [canaries + kinds]


class Replay(MeasurementStore):
    """The store of a finished run, for running its counts once more on other rows: what was
    measured stays, the cells of the rows are kept. Of a choice nothing is kept: what its picks tell
    is asked by audits of its own (choices.py).
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.blocks: list[Block] = []

    def get_or_measure(
        self, mechanism: Storable, counts_fn: Callable[[], Array], noise: NoiseStream
    ) -> Array:
        noisy = super().get_or_measure(mechanism, _never, noise)
        if isinstance(mechanism, PrivateChoice):
            return noisy
        cells: list[Array] = []
        check = marginals._checked

        def check_and_note(codes: Array, size: int) -> Array:
            cells.append(check(codes, size))
            return cells[-1]

        with patch.object(marginals, "_checked", check_and_note):
            counts = counts_fn()
        if not np.array_equal(np.bincount(cells[-1], minlength=counts.size), counts.ravel()):
            raise ValueError(f"{mechanism.name}: its counts are not one cell for each patient")
        self.blocks.append(Block(mechanism.sigma, noisy.ravel(), cells[-1]))
        return noisy


def _never() -> Array:
    raise ValueError("a replay measures nothing: the run has left out a count")


def from_counts(blocks: Sequence[Block], n_canaries: int, copies: int) -> Evidence:
    """Each canary's coin stands in one cell of each block; patients surely in are taken off."""
    rests, free = [], []
    for block in blocks:
        own, others = block.cells[:n_canaries], block.cells[n_canaries:]
        occupants = np.bincount(own, minlength=len(block.noisy))
        rests.append(
            block.noisy - copies * np.bincount(others, minlength=len(block.noisy)) - occupants / 2
        )
        free.append((rests[-1][occupants == 0] / block.sigma) ** 2)
    squares = np.concatenate(free)
    factor = max(float(squares.mean()), LEAST**2) if squares.size else 1.0
    information, vector = np.zeros((n_canaries, n_canaries)), np.zeros(n_canaries)
    for block, rest in zip(blocks, rests, strict=True):
        own, precision = block.cells[:n_canaries], 1 / (block.sigma**2 * factor)
        information += precision * (own[:, None] == own[None, :])
        vector += precision * rest[own]
    return Evidence(information, vector)


@dataclass(frozen=True, eq=False)
class Step:
    """One executed step of DP-SGD: the weights before it, and what came out."""

    mechanism: DpSgd
    weights: dict[str, Tensor]
    noisy: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Steps:
    """All steps of a run, in order."""

    steps: list[Step] = field(default_factory=list)

    def of(self, mechanism: DpSgd) -> list[Step]:
        return [step for step in self.steps if step.mechanism == mechanism]

    @contextmanager
    def record(self) -> Iterator[None]:
        """Keeps every noisy gradient that is made meanwhile, and the weights that it was made
        at.
        """
        inner = DpSgd.noisy_gradient

        def noisy_gradient(
            mechanism: DpSgd, sums: Any, like: Mapping[str, Tensor], noise: NoiseStream
        ) -> dict[str, Tensor]:
            weights = {name: value.detach().clone() for name, value in like.items()}
            gradient = inner(mechanism, sums, like, noise)
            self.steps.append(
                Step(mechanism, weights, {name: value.clone() for name, value in gradient.items()})
            )
            return gradient

        with patch.object(DpSgd, "noisy_gradient", noisy_gradient):
            yield


def from_gradients(
    steps: Sequence[Step],
    gradients_at: Callable[[Mapping[str, Tensor]], Tensor],
    n_canaries: int,
    copies: int,
) -> Evidence:
    """gradients_at(weights): everybody's own gradient, [canaries + kinds, p] in the order of the
    weights, before clipping.
    """
    information, vector = np.zeros((n_canaries, n_canaries)), np.zeros(n_canaries)
    factor = None
    for step in steps:
        clip, q = step.mechanism.l2_clip_norm, step.mechanism.sampling_probability
        own = gradients_at(step.weights)
        own *= (clip / own.norm(dim=1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0)
        summed = (
            torch.cat([step.noisy[name].flatten() for name in step.weights])
            * step.mechanism.expected_batch_size
        )
        weight = torch.full((len(own),), q * copies)
        weight[:n_canaries] = q / 2
        expected = weight @ own  # with every coin at one half, [p]
        # gradients that were not clipped are longer than claimed
        reach = max(float(summed @ expected / expected.square().sum()), 1.0)
        own, rest = own * reach, summed - expected * reach
        gram, projections = (own @ own.T).double().numpy(), (own @ rest).double().numpy()
        claimed = (step.mechanism.noise_multiplier * clip) ** 2
        if factor is None:
            factor = max(_variance_outside(gram, projections, rest) / claimed, LEAST**2)
        # variance of the samples in units of the noise's
        sampled = weight.double().numpy() * (1 - q) / (claimed * factor)
        # how much those surely in add is not believed either
        sampled[n_canaries:] += (q * copies) ** 2 / (claimed * factor)
        solved = np.linalg.solve(
            np.eye(len(own)) + gram * sampled, np.column_stack([gram[:, :n_canaries], projections])
        )[:n_canaries]
        information += q**2 * solved[:, :-1] / (claimed * factor)
        vector += q * solved[:, -1] / (claimed * factor)
    return Evidence(information, vector)


def _variance_outside(gram: Array, projections: Array, rest: Tensor) -> float:
    """Mean square of what lies outside the span of everybody's gradients, where there is nothing
    but noise.
    """
    values, directions = np.linalg.eigh(gram)
    spans = values > 1e-5 * values[-1]
    within = float(((directions[:, spans].T @ projections) ** 2 / values[spans]).sum())
    outside = len(rest) - int(spans.sum())
    if outside < 100:
        raise ValueError(
            f"{len(rest)} weights leave no room beside {int(spans.sum())} gradients to see the"
            " noise: fewer canaries, or a wider network"
        )
    return max(float(rest.double().square().sum()) - within, 0.0) / outside
