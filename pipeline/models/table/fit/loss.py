"""The generator's output and its loss: the distance between the marginals of a mixture and those
that the noisy counts give. No row is read.

All pair marginals of a mixture of independent columns are one matrix product, Q'Q / codes
(docs/table_model.md, step 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.models.table.values.measurements import Marginals
from pipeline.models.table.values.symbols import Pair


@dataclass(frozen=True)
class Spans:
    """Where each column's groups lie in the generator's output, [offsets[i], offsets[i + 1])."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @property
    def offsets(self) -> tuple[int, ...]:
        return tuple(int(x) for x in np.concatenate([[0], np.cumsum(self.sizes)]))

    @property
    def width(self) -> int:
        return sum(self.sizes)

    def of(self, name: str) -> slice:
        place = self.names.index(name)
        return slice(self.offsets[place], self.offsets[place + 1])


def softmax_heads(logits: torch.Tensor, spans: Spans) -> torch.Tensor:
    """Softmax within each column's span: [codes, width] -> probabilities of the same shape."""
    return torch.cat([part.softmax(1) for part in logits.split(list(spans.sizes), 1)], 1)


class MarginalLoss:
    """Squared error of the model's marginals, each in units of its noise, per cell; plus a small
    Kullback-Leibler divergence of the one-way margins.
    """

    def __init__(
        self, marginals: Marginals, spans: Spans, divergence_weight: float, device: torch.device
    ) -> None:
        self.spans, self.divergence_weight = spans, divergence_weight
        names = list(spans.names)
        self.margins = torch.tensor(
            np.concatenate([marginals.margins[n] for n in names]),
            dtype=torch.float32,
            device=device,
        )
        margin_weights = np.concatenate(
            [
                np.full(size, marginals.margin_weights[n])
                for n, size in zip(names, spans.sizes, strict=True)
            ]
        )
        self.cells = len(margin_weights)
        self.margin_weights = torch.tensor(margin_weights, dtype=torch.float32, device=device)
        self.pairs, self.weights = self._square(
            marginals.pairs, marginals.pair_weights, spans, device
        )
        coarse_spans = Spans(
            spans.names, tuple(int(marginals.coarse_groups[n].max()) + 1 for n in names)
        )
        coarse_places = np.concatenate(
            [
                marginals.coarse_groups[n] + first
                for n, first in zip(names, coarse_spans.offsets, strict=False)
            ]
        )
        # [width, coarse width]: adds up groups to coarse groups
        self.sum_to_coarse = (
            torch.nn.functional.one_hot(torch.from_numpy(coarse_places), coarse_spans.width)
            .float()
            .to(device)
        )
        self.coarse, self.coarse_weights = self._square(
            marginals.coarse, marginals.coarse_weights, coarse_spans, device
        )

    def _square(
        self,
        pairs: dict[Pair, np.ndarray],
        weights: dict[Pair, float],
        spans: Spans,
        device: torch.device,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Joints and weights as [width, width], zero outside the measured pairs (a before b)."""
        goal = np.zeros((spans.width,) * 2, np.float32)
        weight = np.zeros_like(goal)
        for (a, b), joint in pairs.items():
            goal[spans.of(a), spans.of(b)] = joint
            weight[spans.of(a), spans.of(b)] = weights[a, b]
            self.cells += joint.size
        return torch.from_numpy(goal).to(device), torch.from_numpy(weight).to(device)

    def __call__(self, q: torch.Tensor) -> torch.Tensor:
        """A scalar. q: [codes, width], probabilities per head; codes weigh the same."""
        codes = len(q)
        loss = (self.weights * (q.T @ q / codes - self.pairs).square()).sum()
        coarse = q @ self.sum_to_coarse
        loss = (
            loss + (self.coarse_weights * (coarse.T @ coarse / codes - self.coarse).square()).sum()
        )
        mean = q.mean(0)
        loss = loss + (self.margin_weights * (mean - self.margins).square()).sum()
        divergence = (
            self.margins * (self.margins.clamp_min(1e-9).log() - mean.clamp_min(1e-9).log())
        ).sum()
        return loss / self.cells + self.divergence_weight * divergence
