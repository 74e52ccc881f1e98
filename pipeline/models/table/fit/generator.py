"""The generator's latent table: 1,000 codes, each a distribution over every column's groups, fitted
to noisy marginals. No row is read.

Given a code, columns are independent; mixing over codes makes them dependent. All pair marginals of
the model are one matrix product, Q'Q / codes (docs/table_model.md, step 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.models.table.fit.denoise import Targets
from pipeline.models.table.plan.settings import TableSettings

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Blocks:
    """Where each column's groups lie in the generator's output, [offsets[i], offsets[i + 1])."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @property
    def offsets(self) -> tuple[int, ...]:
        return tuple(int(x) for x in np.concatenate([[0], np.cumsum(self.sizes)]))

    @property
    def width(self) -> int:
        return sum(self.sizes)

    def span(self, name: str) -> slice:
        place = self.names.index(name)
        return slice(self.offsets[place], self.offsets[place + 1])


def heads(logits: torch.Tensor, blocks: Blocks) -> torch.Tensor:
    """Softmax within each column's block: [codes, width] -> probabilities of the same shape."""
    return torch.cat([part.softmax(1) for part in logits.split(list(blocks.sizes), 1)], 1)


class MarginalLoss:
    """Squared error of the model's marginals against the targets, each in units of its noise, per
    cell; plus a small KL on one-ways.
    """

    def __init__(
        self, wanted: Targets, blocks: Blocks, divergence_weight: float, device: torch.device
    ) -> None:
        self.blocks, self.divergence_weight = blocks, divergence_weight
        names = list(blocks.names)
        self.margins = torch.tensor(
            np.concatenate([wanted.margins[n] for n in names]), dtype=torch.float32, device=device
        )
        margin_weights = np.concatenate(
            [np.full(s, wanted.margin_weights[n]) for n, s in zip(names, blocks.sizes, strict=True)]
        )
        self.cells = len(margin_weights)
        self.margin_weights = torch.tensor(margin_weights, dtype=torch.float32, device=device)
        self.pairs, self.weights = self._square(wanted.pairs, wanted.pair_weights, blocks, device)
        rough = Blocks(blocks.names, tuple(int(wanted.merged[n].max()) + 1 for n in names))
        merge = np.concatenate(
            [wanted.merged[n] + first for n, first in zip(names, rough.offsets, strict=False)]
        )
        # [width, coarse width]
        self.merge = (
            torch.nn.functional.one_hot(torch.from_numpy(merge), rough.width).float().to(device)
        )
        self.coarse, self.coarse_weights = self._square(
            wanted.coarse, wanted.coarse_weights, rough, device
        )

    def _square(
        self,
        pairs: dict[tuple[str, str], np.ndarray],
        weights: dict[tuple[str, str], float],
        blocks: Blocks,
        device: torch.device,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets and weights as [width, width], zero outside the measured blocks (those with a <
        b).
        """
        goal = np.zeros((blocks.width,) * 2, np.float32)
        weight = np.zeros_like(goal)
        for (a, b), joint in pairs.items():
            goal[blocks.span(a), blocks.span(b)] = joint
            weight[blocks.span(a), blocks.span(b)] = weights[a, b]
            self.cells += joint.size
        return torch.from_numpy(goal).to(device), torch.from_numpy(weight).to(device)

    def __call__(self, q: torch.Tensor) -> torch.Tensor:
        """q [codes, width], probabilities per head; codes weigh the same."""
        codes = len(q)
        loss = (self.weights * (q.T @ q / codes - self.pairs).square()).sum()
        rough = q @ self.merge
        loss = loss + (self.coarse_weights * (rough.T @ rough / codes - self.coarse).square()).sum()
        mean = q.mean(0)
        loss = loss + (self.margin_weights * (mean - self.margins).square()).sum()
        divergence = (
            self.margins * (self.margins.clamp_min(1e-9).log() - mean.clamp_min(1e-9).log())
        ).sum()
        return loss / self.cells + self.divergence_weight * divergence


def first_logits(wanted: Targets, blocks: Blocks, settings: TableSettings) -> torch.Tensor:
    """[codes, width]: the log of the margins plus normal spread, so that codes differ from the
    start. Public seed.
    """
    draw = torch.Generator().manual_seed(settings.seed)
    base = np.concatenate([np.log(np.maximum(wanted.margins[n], 1e-4)) for n in blocks.names])
    return torch.tensor(base, dtype=torch.float32) + torch.randn(
        settings.codes, blocks.width, generator=draw
    )


def fit_table(
    wanted: Targets,
    blocks: Blocks,
    settings: TableSettings,
    *,
    device: torch.device,
    progress: Progress,
) -> torch.Tensor:
    """Logits [codes, width] of the fitted latent table. Deterministic given the targets."""
    loss_of = MarginalLoss(wanted, blocks, settings.divergence_weight, device)
    logits = first_logits(wanted, blocks, settings).to(device).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    for step in range(settings.steps):
        optimiser.zero_grad()
        loss_of(heads(logits, blocks)).backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            progress(f"generator step {step + 1}/{settings.steps}")
    return logits.detach()
