"""DP-SGD of a recurrent network on worst-case neighbours. Weights are shared, so each run is a step
for one patient.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from audit.claims import DELTA, judge
from audit.descent import MICRO_BATCH, ROWS, SIZE, Sums, descent
from audit.findings import Check, Finding
from pipeline.dp.accounting import calibrate
from pipeline.dp.noise import NoiseStream
from pipeline.dp.recurrent import GhostGru
from pipeline.dp.sgd import DpSgd, micro_batches


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
        self.rows = torch.full((2 * ROWS, 1), 0.1)

    def trainable(self) -> Sums:
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
            lambda: 1000 * SIZE * self.head(self.gru(rows, owner)).flatten(), owner, n_patients
        )

    def direction(self) -> Tensor:
        """The patient's gradient by autograd, scaled to length 1, [p]."""
        total = self.head(self.gru(self.rows, torch.zeros(len(self.rows), dtype=torch.int64))).sum()
        gradient = torch.cat(
            [part.flatten() for part in torch.autograd.grad(total, list(self.trainable().values()))]
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
    direction, like = network.direction(), network.trainable()

    def score(present: bool) -> float:
        sums = (
            network.clipped_sum(mechanism, len(part))
            for part in micro_batches(mechanism.sample(int(present), noise), MICRO_BATCH)
        )
        noisy = torch.cat(
            [value.flatten() for value in mechanism.noisy_gradient(sums, like, noise).values()]
        )
        return float(noisy @ direction) * mechanism.expected_batch_size

    return judge(
        "a DP-SGD step, recurrent",
        lambda present: np.array([score(present) for _ in range(runs)]),
        claim,
    )


CHECKS = (
    Check(
        name="a DP-SGD step, recurrent, at epsilon 10",
        family="mechanisms",
        run=partial(recurrent, 10.0, 400),
        asks="one step of a recurrent network keeps its claimed epsilon",
    ),
    Check(
        name="a DP-SGD step, recurrent, at epsilon 1",
        family="mechanisms",
        run=partial(recurrent, 1.0, 8_000),
        long=True,
        asks="one step of a recurrent network keeps its claimed epsilon",
    ),
)
