"""Two networks of one shape, and the ways to sum their clipped gradients that bench/clipping.py
compares.

A patient is one unit with all events: a bag of ids, then tanh or a GRU, then one layer of three
heads. Ways that need rectangles get patients sorted by length and padded to the longest of their
part, losses masked, which favours them: a Poisson batch is not sorted. Opacus clips the GRU in its
ghost mode too, but not by ghost norms: its recurrent layers have none, so it makes their
per-patient gradients (fast gradient clipping).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.layers import DPGRU
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.dp.recurrent import GhostGru
from pipeline.dp.sgd import DpSgd

IDS, SLOTS, WIDTH, HEADS = 900, 8, 64, (16, 290, 40)


MEAN_EVENTS, MOST_EVENTS = 7.4, 90


CLIP = 1.0


OURS, OPACUS = "ours, ghost", ("opacus, hooks", "opacus, ghost")


Sums = dict[str, Tensor]


Way = Callable[["Flat", "Patients", int], Sums]  # network, patients, size of a part


@dataclass(frozen=True)
class Patients:
    """Events of patients sorted by length, rows of a patient together."""

    lengths: Tensor  # int64 [p], rising
    ids: Tensor  # int64 [r, SLOTS]
    targets: Tensor  # int64 [r, heads]

    @classmethod
    def draw(cls, n: int, seed: int, device: str) -> Patients:
        """n patients: lengths geometric, everything else uniform."""
        generator = torch.Generator().manual_seed(seed)
        lengths = (
            torch.empty(n)
            .geometric_(1 / MEAN_EVENTS, generator=generator)
            .clamp(max=MOST_EVENTS)
            .long()
            .sort()
            .values
        )
        rows = int(lengths.sum())
        targets = torch.stack(
            [torch.randint(0, size, (rows,), generator=generator) for size in HEADS], dim=1
        )
        return cls(
            lengths.to(device),
            torch.randint(0, IDS, (rows, SLOTS), generator=generator).to(device),
            targets.to(device),
        )

    def parts(self, size: int) -> Iterator[Patients]:
        ends = self.lengths.cumsum(0).tolist()
        for first in range(0, len(self.lengths), size):
            lengths = self.lengths[first : first + size]
            rows = slice(ends[first - 1] if first else 0, ends[first + len(lengths) - 1])
            yield Patients(lengths, self.ids[rows], self.targets[rows])

    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ids [p, t, SLOTS], targets [p, t, heads] and which are events [p, t]."""
        real = (
            torch.arange(int(self.lengths.max()), device=self.lengths.device)
            < self.lengths[:, None]
        )
        ids, targets = (
            values.new_zeros(*real.shape, values.shape[1]) for values in (self.ids, self.targets)
        )
        ids[real], targets[real] = self.ids, self.targets
        return ids, targets, real


def row_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum of the heads' losses, [r], of logits [r, all heads] and targets [r, heads]."""
    parts = logits.split(HEADS, dim=1)
    return torch.stack(
        [F.cross_entropy(part, targets[:, h], reduction="none") for h, part in enumerate(parts)]
    ).sum(0)


class Flat(nn.Module):
    """Ours: events one below the other."""

    def __init__(self, recurrent: bool) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(IDS, WIDTH, mode="sum")
        self.gru = GhostGru(WIDTH, WIDTH) if recurrent else None
        self.heads = nn.Linear(WIDTH, sum(HEADS))

    def losses(self, patients: Patients, owner: Tensor) -> Tensor:
        """[r]."""
        hidden = self.bag(patients.ids)
        hidden = torch.tanh(hidden) if self.gru is None else self.gru(hidden, owner)
        return row_losses(self.heads(hidden), patients.targets)


class Padded(nn.Module):
    """The same function for Opacus and vmap: patients x time."""

    def __init__(self, flat: Flat) -> None:
        super().__init__()
        self.bag = nn.Embedding(IDS, WIDTH)
        self.gru = None if flat.gru is None else DPGRU(WIDTH, WIDTH, batch_first=True)
        self.heads = nn.Linear(WIDTH, sum(HEADS))
        with torch.no_grad():
            for parameter, name in zip(self.parameters(), same_names(flat), strict=True):
                parameter.copy_(flat.get_parameter(name))

    def forward(self, ids: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Loss of each patient, [p]."""
        hidden = self.bag(ids).sum(2)
        hidden = torch.tanh(hidden) if self.gru is None else self.gru(hidden)[0]
        return (
            row_losses(self.heads(hidden).flatten(0, 1), targets.flatten(0, 1)).view(real.shape)
            * real
        ).sum(1)


def same_names(flat: Flat) -> list[str]:
    """Parameters of Flat in the order of Padded's."""
    gru = (
        []
        if flat.gru is None
        else [
            f"gru.{part}.{kind}" for part in ("input", "recurrent") for kind in ("weight", "bias")
        ]
    )
    return ["bag.weight", *gru, "heads.weight", "heads.bias"]


def mechanism() -> DpSgd:
    return DpSgd(
        steps=1,
        sampling_probability=1.0,
        l2_clip_norm=CLIP,
        noise_multiplier=1.0,
        expected_batch_size=1.0,
    )


def ghost(flat: Flat, patients: Patients, size: int) -> Sums:
    clipper = mechanism().ghost_clipper(flat)
    sums: list[Sums] = []
    for part in patients.parts(size):
        owner = torch.repeat_interleave(
            torch.arange(len(part.lengths), device=part.ids.device), part.lengths
        )
        sums.append(
            clipper.clipped_sum(partial(flat.losses, part, owner), owner, len(part.lengths))
        )
    return {name: torch.stack([one[name] for one in sums]).sum(0) for name in same_names(flat)}


def per_patient(flat: Flat, patients: Patients, size: int) -> Sums:
    network = Padded(flat)
    weights = {name: parameter.detach() for name, parameter in network.named_parameters()}

    def loss(weights: Sums, patient: tuple[Tensor, ...]) -> Tensor:
        return torch.func.functional_call(
            network, weights, tuple(column[None] for column in patient)
        )[0]

    sums = [mechanism().clipped_sum(loss, weights, part.padded()) for part in patients.parts(size)]
    return {
        name: torch.stack([one[key] for one in sums]).sum(0)
        for name, key in zip(same_names(flat), weights, strict=True)
    }


def opacus_hooks(flat: Flat, patients: Patients, size: int) -> Sums:
    network = GradSampleModule(Padded(flat), batch_first=True, loss_reduction="sum")
    optimiser = DPOptimizer(
        torch.optim.SGD(network.parameters(), lr=0.0),
        noise_multiplier=0.0,
        max_grad_norm=CLIP,
        expected_batch_size=1,
        loss_reduction="sum",
    )
    for part in patients.parts(size):
        network(*part.padded()).sum().backward()
        optimiser.clip_and_accumulate()
        for parameter in network.parameters():
            parameter.grad_sample = None
    return {
        name: parameter.summed_grad
        for name, parameter in zip(same_names(flat), network.parameters(), strict=True)
    }


def opacus_ghost(flat: Flat, patients: Patients, size: int) -> Sums:
    network = GradSampleModuleFastGradientClipping(
        Padded(flat), batch_first=True, loss_reduction="sum", max_grad_norm=CLIP
    )
    optimiser = DPOptimizerFastGradientClipping(
        torch.optim.SGD(network.parameters(), lr=0.0),
        noise_multiplier=0.0,
        max_grad_norm=CLIP,
        expected_batch_size=1,
        loss_reduction="sum",
    )
    sums: list[list[Tensor]] = []
    for part in patients.parts(size):
        network.enable_hooks()
        DPTensorFastGradientClipping(
            network, optimiser, network(*part.padded()), loss_reduction="sum"
        ).backward()
        sums.append([parameter.grad for parameter in network.parameters()])
        for parameter in network.parameters():
            parameter.grad = None  # or the next part would be written over this one
    return {
        name: torch.stack(column).sum(0)
        for name, *column in zip(same_names(flat), *sums, strict=True)
    }


WAYS: dict[str, Way] = {
    OURS: ghost,
    "ours, vmap": per_patient,
    OPACUS[0]: opacus_hooks,
    OPACUS[1]: opacus_ghost,
}
