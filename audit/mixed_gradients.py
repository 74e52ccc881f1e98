"""DP-SGD where it matters: clip norms near the median gradient, micro-batches of four, so that of
one batch some gradients are cut and some are not.

Where every gradient is cut, a loss that is divided by its batch's mean weight, or a clip norm that
follows the batch, changes nothing that shows. Here the clipped sum is compared with its definition:
each patient alone, by one ordinary backward pass over his or her own rows, scaled to the clip norm
at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from audit import people
from audit.batches import Network, networks
from audit.findings import Check, Finding
from audit.loops import PATIENTS, Step, mechanism, watch
from audit.model_rows import model_rows
from audit.toy_loops import CriticLoop, Loop, PathwayLoop
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd, micro_batches
from pipeline.dp.tape import Tape
from pipeline.models.table.fit import critic
from pipeline.schema.patient_log import ID

Array = np.ndarray[Any, Any]
Sums = dict[str, Tensor]

FOUR = 4  # patients of a micro-batch
BATCHES = (13, 14, 15, 11)  # patients of each step: the last micro-batch has one to three
# of a clip norm: float32, and what ghost clipping adds to norms on purpose (ghost_traces.py)
ROUNDING = 3e-4
FEWEST = 3  # micro-batches in which some are cut and some are not, so that the check is none of air


class PeopleLoop(PathwayLoop):
    """The recurrent training on invented patients with everything that a log can hold: attributes,
    rhythms, weights that fall along the pathway.
    """

    def __init__(self, n: int, folder: Path, **settings: Any) -> None:
        rows = model_rows(people.extract(n, 17))
        patients = rows.patients.unique(ID, keep="first", maintain_order=True)
        self._learn(people.schema_in(folder / "declared"), patients, rows.pathways, settings)


# so slow that the weights, and with them the median, stay where they are
SLOW_CRITIC: Mapping[str, Any] = {"critic_learning_rate": 1e-6, "critic_weight_limit": 10.0}
SLOW_PATHWAY: Mapping[str, Any] = {"learning_rate": 1e-6, "micro_batch": FOUR}
LOOPS: Mapping[str, Callable[[Path], Loop]] = {
    "critic": lambda folder: CriticLoop(PATIENTS, **SLOW_CRITIC),
    "pathway": lambda folder: PathwayLoop(PATIENTS, **SLOW_PATHWAY),
    "whole pathway": lambda folder: PeopleLoop(PATIENTS, folder, **SLOW_PATHWAY),
}


@dataclass
class Tally:
    """How far clipped sums are from their definition, and how mixed the batches were."""

    clip: float
    off: float = 0.0  # the largest distance, in clip norms
    cut: int = 0
    whole: int = 0
    mixed: int = 0  # micro-batches with both

    def add(self, gradients: Sequence[Tensor], total: Sums) -> None:
        """One batch: each patient's own gradient [p], in the order of the sample, and what the
        code under audit made of them.
        """
        sums = torch.cat([part.flatten() for part in total.values()]).double()
        if not bool(sums.isfinite().all()):
            self.off = float("inf")
            return
        norms = np.array([float(gradient.norm()) for gradient in gradients])
        for gradient, norm in zip(gradients, norms, strict=True):
            sums -= gradient * min(1.0, self.clip / max(norm, 1e-30))
        self.off = max(self.off, float(sums.norm()) / self.clip)
        is_cut = norms > self.clip
        self.cut += int(is_cut.sum())
        self.whole += int((~is_cut).sum())
        self.mixed += sum(0 < int(part.sum()) < len(part) for part in micro_batches(is_cut, FOUR))

    def finding(self, name: str) -> Finding:
        is_mixed = self.mixed >= FEWEST
        return Finding(
            holds=self.off <= ROUNDING and is_mixed,
            figures={
                "off": self.off,
                "cut": self.cut,
                "whole": self.whole,
                "mixed_micro_batches": self.mixed,
            },
            message=(
                f"{name}: {self.cut} gradients were cut, {self.whole} were not, both in"
                f" {self.mixed} micro-batches; clipped sums are off by {self.off:.1e} clip norms"
                " from those of each patient alone"
            ),
        )


def trained(name: str, folder: Path) -> Finding:
    """The real loop, with a clip norm at the median gradient of its first weights."""
    loop, first = LOOPS[name](folder), list[Step]()
    steps: list[Step] = []
    _run(loop, watch(mechanism(), first, steps=1), folder / "first")
    start = first[0].weights
    clip = float(np.median([float(of.norm()) for of in _alone(loop, range(PATIENTS), start)]))
    tally = Tally(clip)
    _run(loop, watch(mechanism(), steps, steps=len(BATCHES), l2_clip_norm=clip), folder / "then")
    for step in steps:
        tally.add(_alone(loop, step.sampled.tolist(), step.weights), step.total)
    return tally.finding(f"{name} training")


def _run(loop: Loop, watched: DpSgd, checkpoint: Path) -> None:
    """With batches of known sizes, in micro-batches of four."""
    rng = np.random.default_rng(2)
    batches = iter([np.sort(rng.permutation(PATIENTS)[:size]) for size in BATCHES])
    with (
        patch.object(critic, "_MICRO_BATCH", FOUR),
        patch.object(DpSgd, "sample", lambda mechanism, n_patients, noise: next(batches)),
    ):
        loop.run(
            watched,
            tape=Tape(),
            noise=NoiseStream(),
            checkpoint=checkpoint,
            checkpoint_steps=len(BATCHES),
            progress=lambda line: None,
        )


def _alone(loop: Loop, patients: Sequence[int], weights: Sums) -> list[Tensor]:
    """Each patient's gradient by itself, float64 [p]."""
    return [
        torch.cat([part.flatten() for part in loop.gradient(patient, weights)]).double()
        for patient in patients
    ]


def toy(name: str, _folder: Path) -> Finding:
    """A small network of each kind of layer: patients of one to seven rows in any order, gradients
    of very different sizes, batches of none to fourteen.
    """
    generator = torch.Generator().manual_seed(3)
    network = networks()["linear" if name == "functional" else name]
    # the functional way has equally many rows of everybody
    lengths = torch.randint(1, 8, (PATIENTS,), generator=generator)
    lengths = torch.full_like(lengths, 6) if name == "functional" else lengths
    sizes = torch.exp(torch.randn(PATIENTS, 1, generator=generator))
    rows = [
        size * torch.randn(int(length), 3, generator=generator)
        for size, length in zip(sizes, lengths, strict=True)
    ]
    alone = [_own_gradient(network, of) for of in rows]
    tally = Tally(float(np.median([float(of.norm()) for of in alone])))
    descent = replace(mechanism(), l2_clip_norm=tally.clip)
    for size in (*range(15), 13, 14, 11):
        batch = torch.randperm(PATIENTS, generator=generator)[:size].numpy()
        parts = [
            _sums(name, network, descent, [rows[patient] for patient in part], generator)
            for part in micro_batches(batch, FOUR)
        ]
        total = {
            key: sum((part[key] for part in parts), torch.zeros_like(value))
            for key, value in network.named_parameters()
        }
        tally.add([alone[patient] for patient in batch], total)
    return tally.finding(f"clipped sums, {name}")


def _own_gradient(network: Network, rows: Tensor) -> Tensor:
    losses = network(rows, torch.zeros(len(rows), dtype=torch.int64))
    gradients = torch.autograd.grad(losses.sum(), list(network.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients]).double()


def _sums(
    name: str, network: Network, descent: DpSgd, rows: list[Tensor], generator: torch.Generator
) -> Sums:
    """The clipped sum of some patients by the code under audit; rows of patients interleaved."""
    if name == "functional":
        weights = {key: value.detach() for key, value in network.named_parameters()}
        return descent.clipped_sum(
            lambda weights, of: torch.func.functional_call(
                network, weights, (of, torch.zeros(len(of)))
            ).sum(),
            weights,
            torch.stack(rows),
        )
    owner = torch.repeat_interleave(torch.tensor([len(of) for of in rows]))
    # a random key per row, the patient's own keys in order: interleaved, each in time order
    keys = torch.rand(len(owner), generator=generator)
    keys = torch.cat([part.sort().values for part in keys.split([len(of) for of in rows])])
    order = keys.argsort()
    mixed = torch.cat(rows)[order]
    return descent.ghost_clipper(network).clipped_sum(
        lambda: network(mixed, owner[order]), owner[order], len(rows)
    )


CHECKS: tuple[Check, ...] = (
    *(
        Check(
            name=f"mixed gradients, {name} training",
            family="mechanisms",
            run=partial(trained, name),
            asks=(
                "where some gradients of a batch are cut and some are not, the clipped sum of the"
                " real loss is that of each patient alone"
            ),
        )
        for name in LOOPS
    ),
    *(
        Check(
            name=f"mixed gradients, {name}",
            family="mechanisms",
            run=partial(toy, name),
            asks=(
                "where some gradients of a batch are cut and some are not, the clipped sum is that"
                " of each patient alone, over micro-batches of four"
            ),
        )
        for name in ("functional", "linear", "recurrent", "embedding")
    ),
)
