"""DP-CTGAN's conditional generator as a network: residual (Xu et al. 2019,
arxiv.org/abs/1907.00503), distilled from the latent table.

Input: a latent vector per code and a conditional vector, one-hot over all groups, zero for no
    condition. Output: softmax heads. Batch norm is left out: it would make one generated row depend
    on the others. Trained on the table and the noisy marginals; no row is read.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from pipeline.models.table.fit.denoise import Targets
from pipeline.models.table.fit.generator import Blocks, MarginalLoss, heads
from pipeline.models.table.plan.settings import TableSettings

Progress = Callable[[str], None]
LATENT = 64
HIDDEN = 256


class ConditionalGenerator(nn.Module):
    """[codes, LATENT] and [codes, width] -> probabilities [codes, width]. Each residual layer is
    concatenated to what came before.
    """

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self.blocks = blocks
        entry = LATENT + blocks.width
        self.first = nn.Linear(entry, HIDDEN)
        self.second = nn.Linear(entry + HIDDEN, HIDDEN)
        self.last = nn.Linear(entry + 2 * HIDDEN, blocks.width)

    def forward(self, latent: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        x = torch.cat([latent, condition], 1)
        x = torch.cat([torch.relu(self.first(x)), x], 1)
        x = torch.cat([torch.relu(self.second(x)), x], 1)
        return heads(self.last(x), self.blocks)


def latent_codes(settings: TableSettings, device: torch.device) -> torch.Tensor:
    """The generator's latent vectors, [codes, LATENT], from the public seed."""
    return torch.randn(
        settings.codes, LATENT, generator=torch.Generator().manual_seed(settings.seed + 1)
    ).to(device)


def distil(
    q: torch.Tensor, wanted: Targets, blocks: Blocks, settings: TableSettings, *, progress: Progress
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """(the network's table [codes, width] without condition, its weights): cross-entropy to the
    table, then the marginal loss.
    """
    device = q.device
    latent = latent_codes(settings, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed + 2)
        network = ConditionalGenerator(blocks).to(device)
    draw = torch.Generator().manual_seed(settings.seed + 3)
    loss_of = MarginalLoss(wanted, blocks, settings.divergence_weight, device)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 2 * settings.network_steps)
    free = torch.zeros_like(q)
    for step in range(2 * settings.network_steps):
        optimiser.zero_grad()
        made = network(latent, free)
        condition, goal = _conditions(q, blocks, draw)
        loss = _cross_entropy(goal, network(latent, condition))
        if step < settings.network_steps:
            loss = loss + _cross_entropy(q, made)
        else:
            loss = 0.1 * loss + loss_of(made)
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            progress(f"network step {step + 1}/{2 * settings.network_steps}")
    with torch.no_grad():
        table = network(latent, free)
    return table, {
        name: value.detach().cpu().numpy() for name, value in network.state_dict().items()
    }


def _conditions(
    q: torch.Tensor, blocks: Blocks, draw: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A conditional vector per code, one column's group drawn from the code itself, and the table
    with that head fixed to it.
    """
    condition, goal = torch.zeros_like(q), q.clone()
    columns = torch.randint(len(blocks.names), (len(q),), generator=draw)
    for place in range(len(blocks.names)):
        rows = (columns == place).nonzero()[:, 0].to(q.device)
        if len(rows) == 0:
            continue
        span = slice(blocks.offsets[place], blocks.offsets[place + 1])
        picked = torch.multinomial(q[rows, span].cpu() + 1e-9, 1, generator=draw)[:, 0].to(q.device)
        condition[rows, span.start + picked] = 1.0
        goal[rows, span] = condition[rows, span]
    return condition, goal


def _cross_entropy(goal: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    return -(goal * made.clamp_min(1e-9).log()).sum(1).mean()
