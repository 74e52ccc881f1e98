"""The generator's output and its loss: the distance between the marginals of a mixture and those
that the noisy counts give. No row is read.

The pair marginals of a mixture of independent columns are blocks of one matrix product, Q'Q /
codes, of which only those are computed that something is known of (docs/table_model.md, step 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipeline.models.table.plan.settings import TableSettings
from pipeline.models.table.values.measurements import Marginals
from pipeline.models.table.values.symbols import Relations

_RARE_COST = (
    0.3  # what a patient costs in a cell that is as good as empty, of that where none may be
)


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

    def size_of(self, name: str) -> int:
        return self.sizes[self.names.index(name)]

    def of(self, name: str) -> slice:
        place = self.names.index(name)
        return slice(self.offsets[place], self.offsets[place + 1])


def softmax_heads(logits: torch.Tensor, spans: Spans) -> torch.Tensor:
    """Softmax within each column's span: [codes, width] -> probabilities of the same shape."""
    return torch.cat([part.softmax(1) for part in logits.split(list(spans.sizes), 1)], 1)


class MarginalLoss:
    """Squared error of the model's marginals, each in units of its noise, per cell; plus patients
    in cells that implications forbid; plus a small Kullback-Leibler divergence of the one-way
    margins.
    """

    def __init__(
        self,
        marginals: Marginals,
        spans: Spans,
        legal: Relations,
        settings: TableSettings,
        device: torch.device,
    ) -> None:
        self.spans, self.divergence_weight = spans, settings.divergence_weight
        self.margins = _row([marginals.margins[name] for name in spans.names], device)
        self.margin_weights = _row([marginals.margin_weights[name] for name in spans.names], device)
        forbidden = settings.forbidden_weight * marginals.size
        self.parts = [
            _Part.of(name, marginals, spans, legal, forbidden, device)
            for name in spans.names
            if _partners(name, marginals, legal, spans)
        ]
        self.coarse = _Coarse.of(marginals, spans, device) if marginals.coarse else None
        joints = [*marginals.pairs.values(), *marginals.coarse.values()]
        self.cells = spans.width + sum(joint.size for joint in joints)

    def __call__(self, q: torch.Tensor) -> torch.Tensor:
        """A scalar. q: [codes, width], probabilities per head; codes weigh the same."""
        mean = q.mean(0)
        loss = (self.margin_weights * (mean - self.margins).square()).sum()
        loss = loss + _PairError.apply(q, self.parts)
        if self.coarse is not None:
            loss = loss + self.coarse(q)
        divergence = (
            self.margins * (self.margins.clamp_min(1e-9).log() - mean.clamp_min(1e-9).log())
        ).sum()
        return loss / self.cells + self.divergence_weight * divergence


@dataclass(frozen=True, eq=False)
class _Part:
    """All pairs of one column with later ones that were counted, are known or exclude each other:
    only these cost time. places: of the later columns' groups in the generator's output, [n].
    """

    span: slice
    places: torch.Tensor
    goal: torch.Tensor  # float32 [groups, n]
    weights: torch.Tensor  # the same; 0 where nothing was counted
    forbidden: torch.Tensor  # the same; what a patient costs in a cell that cannot be

    @classmethod
    def of(
        cls,
        name: str,
        marginals: Marginals,
        spans: Spans,
        legal: Relations,
        forbidden: float,
        device: torch.device,
    ) -> _Part:
        partners = _partners(name, marginals, legal, spans)
        size, places = spans.size_of(name), []
        goals, weights, penalties = [], [], []
        for other in partners:
            shape = (size, spans.size_of(other))
            places.append(np.arange(spans.of(other).start, spans.of(other).stop))
            goals.append(marginals.pairs.get((name, other), np.zeros(shape)))
            weights.append(np.full(shape, marginals.pair_weights.get((name, other), 0.0)))
            allowed = legal.get((name, other), np.ones(shape, bool))
            rare = marginals.rare.get((name, other), np.zeros(shape, bool))
            penalties.append(forbidden * np.where(allowed, _RARE_COST * rare, 1.0))
        goal, weight, penalty = (
            torch.from_numpy(np.concatenate(arrays, 1).astype(np.float32)).to(device)
            for arrays in (goals, weights, penalties)
        )
        return cls(
            spans.of(name),
            torch.from_numpy(np.concatenate(places)).to(device),
            goal,
            weight,
            penalty,
        )


class _PairError(torch.autograd.Function):
    """Sum over pairs of the weighted squared error and of forbidden mass. It knows its gradient in
    q, so that no step of it is recorded: half the time of automatic differentiation.
    """

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, parts: list[_Part]) -> torch.Tensor:
        codes, by_group = len(q), q.detach().T.contiguous()
        loss, gradient = q.new_zeros(()), torch.zeros_like(by_group)
        for part in parts:
            one, others = by_group[part.span], by_group.index_select(0, part.places)
            joint = one @ others.T / codes
            error = joint - part.goal
            weighted = part.weights * error
            loss = loss + (weighted * error).sum() + (part.forbidden * joint).sum()
            slope = (2 * weighted + part.forbidden) / codes
            gradient[part.span] += slope @ others
            gradient.index_add_(0, part.places, slope.T @ one)
        ctx.save_for_backward(gradient.T)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return grad_outputs[0] * gradient, None


@dataclass(frozen=True, eq=False)
class _Coarse:
    """All pairs over coarse groups at once: few groups, so that one matrix holds them."""

    sums: torch.Tensor  # [width, coarse width]: adds up groups to coarse groups
    goal: torch.Tensor  # [coarse width, coarse width], 0 outside of counted pairs
    weights: torch.Tensor

    def __call__(self, q: torch.Tensor) -> torch.Tensor:
        coarse = q @ self.sums
        return (self.weights * (coarse.T @ coarse / len(q) - self.goal).square()).sum()

    @classmethod
    def of(cls, marginals: Marginals, spans: Spans, device: torch.device) -> _Coarse:
        groups = marginals.coarse_groups
        coarse_spans = Spans(tuple(groups), tuple(int(g.max()) + 1 for g in groups.values()))
        sums = np.zeros((spans.width, coarse_spans.width), np.float32)
        for name, of_group in groups.items():
            first = spans.of(name).start
            sums[first + np.arange(len(of_group)), coarse_spans.of(name).start + of_group] = 1
        goal = np.zeros((coarse_spans.width,) * 2, np.float32)
        weights = np.zeros_like(goal)
        for (a, b), joint in marginals.coarse.items():
            goal[coarse_spans.of(a), coarse_spans.of(b)] = joint
            weights[coarse_spans.of(a), coarse_spans.of(b)] = marginals.coarse_weights[a, b]
        return cls(*(torch.from_numpy(array).to(device) for array in (sums, goal, weights)))


def _partners(name: str, marginals: Marginals, legal: Relations, spans: Spans) -> list[str]:
    later = spans.names[spans.names.index(name) + 1 :]
    return [
        other
        for other in later
        if (name, other) in marginals.pairs
        or ((name, other) in legal and not legal[name, other].all())
    ]


def _row(values: list[np.ndarray], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(values).astype(np.float32)).to(device)
