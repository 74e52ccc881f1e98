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

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.dp import marginals
from pipeline.dp.marginals import MeasurementStore, NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd

PRIOR = 4.0  # 1 / variance of a fair coin
# of the claimed noise: what is estimated below counts as this, so that nothing divides by zero
LEAST = 1e-3
ROWS = 1024  # whose outer products are in memory at once
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


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """owner.name is `value` meanwhile."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@dataclass(frozen=True, eq=False)
class Block:
    """One block of noisy counts, and everybody's cell in it."""

    sigma: float
    noisy: Array  # int64 [cells]
    cells: Array  # int64 [canaries + kinds]


class Replay(MeasurementStore):
    """The store of a finished run, for running its counts once more on other rows: what was
    measured stays, the cells of the rows are kept.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.blocks: list[Block] = []

    def get_or_measure(
        self, mechanism: NoisyCounts, counts_fn: Callable[[], Array], noise: NoiseStream
    ) -> Array:
        noisy = super().get_or_measure(mechanism, _never, noise)
        seen: list[Array] = []
        checked = marginals._checked

        def watched(codes: Array, size: int) -> Array:
            seen.append(checked(codes, size))
            return seen[-1]

        with replaced(marginals, "_checked", watched):
            counts = counts_fn()
        if not np.array_equal(np.bincount(seen[-1], minlength=counts.size), counts.ravel()):
            raise ValueError(f"{mechanism.name}: its counts are not one cell for each patient")
        self.blocks.append(Block(mechanism.sigma, noisy.ravel(), seen[-1]))
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

    seen: list[Step] = field(default_factory=list)

    def of(self, mechanism: DpSgd) -> list[Step]:
        return [step for step in self.seen if step.mechanism == mechanism]

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Keeps every noisy gradient that is made meanwhile, and the weights that it was made
        at.
        """
        inner = DpSgd.noisy_gradient

        def noisy_gradient(
            mechanism: DpSgd, sums: Any, like: Mapping[str, Tensor], noise: NoiseStream
        ) -> dict[str, Tensor]:
            weights = {name: value.detach().clone() for name, value in like.items()}
            made = inner(mechanism, sums, like, noise)
            self.seen.append(
                Step(mechanism, weights, {name: value.clone() for name, value in made.items()})
            )
            return made

        with replaced(DpSgd, "noisy_gradient", noisy_gradient):
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
        alike, told = (own @ own.T).double().numpy(), (own @ rest).double().numpy()
        claimed = (step.mechanism.noise_multiplier * clip) ** 2
        if factor is None:
            factor = max(_variance_outside(alike, told, rest) / claimed, LEAST**2)
        # variance of the samples in units of the noise's
        sampled = weight.double().numpy() * (1 - q) / (claimed * factor)
        # how much those surely in add is not believed either
        sampled[n_canaries:] += (q * copies) ** 2 / (claimed * factor)
        solved = np.linalg.solve(
            np.eye(len(own)) + alike * sampled, np.column_stack([alike[:, :n_canaries], told])
        )[:n_canaries]
        information += q**2 * solved[:, :-1] / (claimed * factor)
        vector += q * solved[:, -1] / (claimed * factor)
    return Evidence(information, vector)


def _variance_outside(alike: Array, told: Array, rest: Tensor) -> float:
    """Mean square of what lies outside the span of everybody's gradients, where there is nothing
    but noise.
    """
    values, directions = np.linalg.eigh(alike)
    kept = values > 1e-5 * values[-1]
    within = float(((directions[:, kept].T @ told) ** 2 / values[kept]).sum())
    outside = len(rest) - int(kept.sum())
    if outside < 100:
        raise ValueError(
            f"{len(rest)} weights leave no room beside {int(kept.sum())} gradients to see the"
            " noise: fewer canaries, or a wider network"
        )
    return max(float(rest.double().square().sum()) - within, 0.0) / outside


def own_gradients(
    network: nn.Module,
    row_losses: Callable[[], Tensor],
    owner: Tensor,
    n: int,
    per_patient: Sequence[str] = (),
) -> Tensor:
    """Every patient's gradient, float32 [n, p] in the order of named_parameters: plain sums over
    its rows, made apart from the code under audit.

    For networks of Linear, Embedding and EmbeddingBag layers. owner int64 [rows]; `per_patient`
    layers have a row for each patient.
    """
    calls: list[tuple[str, nn.Module, Tensor, Tensor]] = []

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda layer, inputs, output: calls.append((name, layer, inputs[0].detach(), output))

    layers = {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Embedding | nn.EmbeddingBag)
    }
    handles = [layer.register_forward_hook(hook(name)) for name, layer in layers.items()]
    try:
        outputs = row_losses().sum()
        by_output = torch.autograd.grad(
            outputs, [output for *_, output in calls], allow_unused=True
        )
    finally:
        for handle in handles:
            handle.remove()
    gradients = {
        name: torch.zeros(n, *parameter.shape) for name, parameter in network.named_parameters()
    }
    for (name, layer, inputs, _), gradient in zip(calls, by_output, strict=True):
        if gradient is None:
            continue
        whose = torch.arange(n) if name in per_patient else owner
        if isinstance(layer, nn.Linear):
            for at in range(0, len(whose), ROWS):
                part = slice(at, at + ROWS)
                gradients[f"{name}.weight"].index_add_(
                    0, whose[part], gradient[part, :, None] * inputs[part, None, :]
                )
            if layer.bias is not None:
                gradients[f"{name}.bias"].index_add_(0, whose, gradient)
        else:
            ids = inputs.reshape(len(whose), -1)
            table = gradients[f"{name}.weight"].view(-1, gradient.shape[1])
            for slot in ids.T:
                table.index_add_(0, whose * gradients[f"{name}.weight"].shape[1] + slot, gradient)
    return torch.cat([value.flatten(1) for value in gradients.values()], dim=1)
