"""The generator's latent table: `settings.codes` latent codes, each a distribution over every
column's groups, fitted to noisy marginals. No row is read.

Given a code, columns are independent; mixing over codes makes them dependent: a latent class model
(Lazarsfeld and Henry 1968), fitted to marginals by gradient descent as in Liu, Vietri and Wu 2021
(arxiv.org/abs/2106.07153).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from pipeline.models.table.fit.loss import MarginalLoss, Spans, softmax_heads
from pipeline.models.table.plan.settings import TableSettings
from pipeline.models.table.values.measurements import Marginals
from pipeline.models.table.values.symbols import Relations

Progress = Callable[[str], None]


def initial_logits(marginals: Marginals, spans: Spans, settings: TableSettings) -> torch.Tensor:
    """float32 [codes, width]: the log of the margins plus normal spread, so that codes differ from
    the start. Public seed.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    base = np.concatenate([np.log(np.maximum(marginals.margins[n], 1e-4)) for n in spans.names])
    return torch.tensor(base, dtype=torch.float32) + settings.spread * torch.randn(
        settings.codes, spans.width, generator=generator
    )


def fit_table(
    marginals: Marginals,
    spans: Spans,
    legal: Relations,
    settings: TableSettings,
    *,
    steps: int,
    device: torch.device,
    progress: Progress,
) -> torch.Tensor:
    """Logits of the fitted latent table, float32 [codes, width]. Deterministic given the marginals.

    legal: bool [groups a, groups b] of pairs that implications relate. progress: told every 100
    steps.
    """
    loss_of = MarginalLoss(marginals, spans, legal, settings, device)
    logits = initial_logits(marginals, spans, settings).to(device).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        optimiser.zero_grad()
        loss_of(softmax_heads(logits, spans)).backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            progress(f"generator step {step + 1}/{steps}")
    return logits.detach()
