"""The conditional generator as a network: residual (Xu et al. 2019, arxiv.org/abs/1907.00503),
distilled from the latent table.

Input: a latent vector per code and a conditional vector, one-hot over all groups, zero for no
    condition. Output: softmax heads. Batch norm is left out: it would make one generated row depend
    on the others. Trained on the table and the noisy marginals; no row is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pipeline.models.table.fit.loss import MarginalLoss, Spans, softmax_heads
from pipeline.models.table.plan.settings import TableSettings
from pipeline.models.table.values.measurements import Marginals
from pipeline.models.table.values.symbols import Relations

Progress = Callable[[str], None]
LATENT = 64
HIDDEN = 256


class ConditionalGenerator(nn.Module):
    """[codes, LATENT] and [codes, width] -> probabilities [codes, width]. Each residual layer is
    concatenated to what came before (Xu et al. 2019, section 4.4).
    """

    def __init__(self, spans: Spans) -> None:
        super().__init__()
        self.spans = spans
        entry = LATENT + spans.width
        self.first = nn.Linear(entry, HIDDEN)
        self.second = nn.Linear(entry + HIDDEN, HIDDEN)
        self.last = nn.Linear(entry + 2 * HIDDEN, spans.width)

    def forward(self, latent: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        x = torch.cat([latent, condition], 1)
        x = torch.cat([torch.relu(self.first(x)), x], 1)
        x = torch.cat([torch.relu(self.second(x)), x], 1)
        return softmax_heads(self.last(x), self.spans)


@dataclass(frozen=True, eq=False)
class Codes:
    """What the generator is evaluated at: latent vectors, float32 [codes, LATENT], and conditional
    vectors, float32 [codes, width], one group of one column each.
    """

    latent: torch.Tensor
    condition: torch.Tensor

    def condition_loss(self, q: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the output q, [codes, width], to what the conditional vectors ask
        for.
        """
        return _cross_entropy(self.condition, q)


def warm_start(
    q: torch.Tensor,
    marginals: Marginals,
    spans: Spans,
    legal: Relations,
    settings: TableSettings,
    *,
    progress: Progress,
) -> tuple[ConditionalGenerator, Codes]:
    """DP-CTGAN's generator before it meets a critic: what noisy counts alone teach it.

    q: [codes, width], the latent table. A code's conditional vector is drawn from the code, so over
    all codes it has the noisy margins. First the network learns the table, given its conditions;
    then the marginals, given the same.
    """
    network = _network(spans, settings, q.device)
    condition, goal = _conditions(q, spans, torch.Generator().manual_seed(settings.seed + 3))
    codes = Codes(latent_codes(settings, q.device), condition)
    loss_of = MarginalLoss(marginals, spans, legal, settings, q.device)
    steps = settings.network_steps

    def loss(step: int) -> torch.Tensor:
        output = network(codes.latent, condition)
        if step < steps:
            return _cross_entropy(goal, output)
        return loss_of(output) + settings.condition_weight * codes.condition_loss(output)

    _descend(network, loss, 2 * steps, progress)
    return network, codes


def latent_codes(settings: TableSettings, device: torch.device) -> torch.Tensor:
    """The generator's latent vectors, [codes, LATENT], from the public seed."""
    return torch.randn(
        settings.codes, LATENT, generator=torch.Generator().manual_seed(settings.seed + 1)
    ).to(device)


def distil(
    q: torch.Tensor,
    marginals: Marginals,
    spans: Spans,
    legal: Relations,
    settings: TableSettings,
    *,
    progress: Progress,
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """(the network's table without condition, float32 [codes, width]; its weights by name).

    q: [codes, width], the latent table. Cross-entropy to the table first, then the marginal loss
    (distillation, Hinton, Vinyals and Dean 2015, arxiv.org/abs/1503.02531).
    """
    device = q.device
    latent, network = latent_codes(settings, device), _network(spans, settings, device)
    generator = torch.Generator().manual_seed(settings.seed + 3)
    loss_of = MarginalLoss(marginals, spans, legal, settings, device)
    unconditional = torch.zeros_like(q)

    def loss(step: int) -> torch.Tensor:
        output = network(latent, unconditional)
        condition, goal = _conditions(q, spans, generator)
        conditional = _cross_entropy(goal, network(latent, condition))
        if step < settings.network_steps:
            return conditional + _cross_entropy(q, output)
        return 0.1 * conditional + loss_of(output)

    _descend(network, loss, 2 * settings.network_steps, progress)
    with torch.no_grad():
        table = network(latent, unconditional)
    return table, weights_of(network)


def weights_of(network: ConditionalGenerator) -> dict[str, np.ndarray]:
    """By name, as a model keeps them."""
    return {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}


def _network(spans: Spans, settings: TableSettings, device: torch.device) -> ConditionalGenerator:
    """Initial weights from the public seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed + 2)
        return ConditionalGenerator(spans).to(device)


def _descend(
    network: ConditionalGenerator,
    loss: Callable[[int], torch.Tensor],
    steps: int,
    progress: Progress,
) -> None:
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        optimiser.zero_grad()
        loss(step).backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            progress(f"network step {step + 1}/{steps}")


def _conditions(
    q: torch.Tensor, spans: Spans, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A conditional vector per code, one column's group drawn from the code itself, and the table
    with that head fixed to it.
    """
    condition, goal = torch.zeros_like(q), q.clone()
    columns = torch.randint(len(spans.names), (len(q),), generator=generator)
    for place in range(len(spans.names)):
        rows = (columns == place).nonzero()[:, 0].to(q.device)
        if len(rows) == 0:
            continue
        span = slice(spans.offsets[place], spans.offsets[place + 1])
        groups = torch.multinomial(q[rows, span].cpu() + 1e-9, 1, generator=generator)[:, 0].to(
            q.device
        )
        condition[rows, span.start + groups] = 1.0
        goal[rows, span] = condition[rows, span]
    return condition, goal


def _cross_entropy(goal: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    return -(goal * output.clamp_min(1e-9).log()).sum(1).mean()
