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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audit.canary_outputs import Block, Step

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


def from_gradients(
    step: Step, own: Tensor, n_canaries: int, copies: int, factor: float | None
) -> tuple[Evidence, float]:
    """Of one step, and the factor. own: everybody's clipped gradient, [canaries + kinds, p] in the
    order of the weights; factor: the variance of the noise that is there over that of the claimed
    noise; where it is None, it is seen where no patient's gradient reaches.
    """
    own, rest, weight = _longer(step, own, n_canaries, copies)
    gram, projections = (own @ own.T).double().numpy(), (own @ rest).double().numpy()
    if factor is None:
        factor = max(_variance_outside(gram, projections, rest) / _variance(step), LEAST**2)
    q, variance = step.mechanism.sampling_probability, _variance(step) * factor
    # variance of the samples in units of the noise's
    sampled = weight.double().numpy() * (1 - q) / variance
    # how much those surely in add is not believed either
    sampled[n_canaries:] += (q * copies) ** 2 / variance
    solved = np.linalg.solve(
        np.eye(len(own)) + gram * sampled, np.column_stack([gram[:, :n_canaries], projections])
    )[:n_canaries]
    return Evidence(q**2 * solved[:, :-1] / variance, q * solved[:, -1] / variance), factor


def _variance(step: Step) -> float:
    """Of the claimed noise, in one place of the sum of gradients."""
    return (step.mechanism.noise_multiplier * step.mechanism.l2_clip_norm) ** 2


def _longer(step: Step, own: Tensor, n_canaries: int, copies: int) -> tuple[Tensor, Tensor, Tensor]:
    """Everybody's gradient at the length that the sum has, longer than claimed where they were not
    clipped; the sum less what is expected of it [p]; each row's weight in that.
    """
    weight = torch.full((len(own),), step.mechanism.sampling_probability * copies)
    weight[:n_canaries] = step.mechanism.sampling_probability / 2
    summed, expected = step.summed, weight @ own  # with every coin at one half, [p]
    reach = max(float(summed @ expected / expected.square().sum()), 1.0)
    return own if reach == 1 else own * reach, summed - expected * reach, weight


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
