"""The engines with a guarantee: what each makes of the noisy marginals. All give a latent table,
which the same code then draws from, so that conditions and declared rules hold by construction
whichever engine shaped it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch

from pipeline.dp.mirror import Mirror
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.table.fit.critic import refine
from pipeline.models.table.fit.generator import fit_table
from pipeline.models.table.fit.loss import Spans, softmax_heads
from pipeline.models.table.fit.network import distil, warm_start, weights_of
from pipeline.models.table.plan.engines import DP_CTGAN, MIXTURE
from pipeline.models.table.plan.plan import TablePlan
from pipeline.models.table.values.measurements import Marginals
from pipeline.models.table.values.symbols import Relations

Progress = Callable[[str], None]
# times as many steps where published tables make some cells far more certain than others
_MORE = 2.5


@dataclass(frozen=True, eq=False)
class Start:
    """What noisy counts say: all that an engine knows before it reads a row."""

    plan: TablePlan
    scale: float
    marginals: Marginals
    spans: Spans
    legal: Relations


@dataclass(frozen=True, eq=False)
class Training:
    """What an engine needs to run a charged mechanism. `groups` reads the rows, int [patients,
    columns]: only what is handed to a mechanism of the plan may call it.
    """

    groups: Callable[[], np.ndarray]
    tape: Tape
    noise: NoiseStream
    checkpoint: Path
    checkpoint_steps: int
    device: torch.device
    progress: Progress
    mirror: Mirror | None = None


@dataclass(frozen=True, eq=False)
class LatentTable:
    """Each code's probabilities of every column's groups, float32 [codes, width], and the weights
    of the network that gave them, where one did.
    """

    q: torch.Tensor
    network: dict[str, np.ndarray]


class Engine(Protocol):
    """Shapes the latent table by exactly the mechanisms that the plan has beside its counts."""

    def __call__(self, start: Start, training: Training) -> LatentTable: ...


def mixture(start: Start, training: Training) -> LatentTable:
    """A latent class model, fitted to the noisy marginals by gradient descent. No row is read."""
    q = _best_fit(start, training)
    if not start.plan.settings.network:
        return LatentTable(q, {})
    return LatentTable(
        *distil(
            q,
            start.marginals,
            start.spans,
            start.legal,
            start.plan.settings,
            progress=training.progress,
        )
    )


def dp_ctgan(start: Start, training: Training) -> LatentTable:
    """CTGAN's conditional generator, from what the noisy counts teach it on, against a critic that
    learns from rows by the plan's DP-SGD.
    """
    plan, mechanism = start.plan, start.plan.critic(start.scale)
    assert mechanism is not None  # the plan refuses this engine without a critic
    generator, codes = warm_start(
        _best_fit(start, training),
        start.marginals,
        start.spans,
        start.legal,
        plan.settings,
        progress=training.progress,
    )
    q = refine(
        generator,
        codes,
        start.marginals,
        start.legal,
        plan.settings,
        mechanism,
        training.groups(),
        tape=training.tape,
        noise=training.noise,
        checkpoint=training.checkpoint,
        checkpoint_steps=training.checkpoint_steps,
        progress=training.progress,
        mirror=training.mirror,
    )
    return LatentTable(q, weights_of(generator))


ENGINES: Mapping[str, Engine] = MappingProxyType({MIXTURE: mixture, DP_CTGAN: dp_ctgan})


def _best_fit(start: Start, training: Training) -> torch.Tensor:
    """The latent table that fits the noisy marginals best, float32 [codes, width]."""
    settings = start.plan.settings
    logits = fit_table(
        start.marginals,
        start.spans,
        start.legal,
        settings,
        steps=round(settings.steps * (_MORE if start.plan.known else 1)),
        device=training.device,
        progress=training.progress,
    )
    return softmax_heads(logits, start.spans)
