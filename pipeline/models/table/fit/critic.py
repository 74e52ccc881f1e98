"""The critic of DP-CTGAN: trained by DP-SGD on rows, and steps of the generator against it.

Wasserstein critic with clipped weights (Arjovsky et al. 2017, arxiv.org/abs/1701.07875). No
packing, no gradient penalty on real rows (privacy_rules.md 9): a patient enters one step through
one clipped gradient. The generated half of the critic's gradient comes from a constant number of
rows of the generator, which is public by post-processing, and is added after the noise.

Training by sampling (Xu et al. 2019, section 4.3) picks real rows that match a condition; a Poisson
sample may not. Conditions are drawn from noisy counts for the generator alone, in their own
proportions, so that generated rows altogether are to look like a sample of patients.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import dp_accounting as dpa
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from pipeline import files
from pipeline.dp.mirror import Mirror
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd, micro_batches, set_gradients
from pipeline.dp.steps import StepIndex
from pipeline.dp.tape import Tape
from pipeline.models.table.fit.loss import MarginalLoss
from pipeline.models.table.fit.network import Codes, ConditionalGenerator
from pipeline.models.table.plan.settings import TableSettings
from pipeline.models.table.values.measurements import Marginals
from pipeline.models.table.values.symbols import Relations
from pipeline.refusal import Refusal

Progress = Callable[[str], None]
_MICRO_BATCH = 2048


class Critic(nn.Module):
    """[rows, width] (one-hot for a patient, a draw for a generated row) -> score [rows]."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1, bias=False)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        x = nn.functional.leaky_relu(self.first(rows), 0.2)
        return self.last(nn.functional.leaky_relu(self.second(x), 0.2))[:, 0]


class _State:
    """What a checkpoint holds: critic, generator, both optimisers, the step. No noise state, no
    coin (privacy_rules.md 12).
    """

    def __init__(
        self, generator: ConditionalGenerator, codes: Codes, settings: TableSettings
    ) -> None:
        self.generator, self.codes = generator, codes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed + 4)
            self.critic = Critic(generator.spans.width, settings.critic_width).to(
                codes.latent.device
            )
        self.critic_optimiser = torch.optim.RMSprop(
            self.critic.parameters(), lr=settings.critic_learning_rate
        )
        self.generator_optimiser = torch.optim.Adam(
            generator.parameters(), lr=settings.generator_learning_rate
        )
        self.step = 0

    def output(self) -> torch.Tensor:
        """The generator at its codes, [codes, width]."""
        return self.generator(self.codes.latent, self.codes.condition)

    def save(self, path: Path, mechanism: DpSgd) -> None:
        tensors = {
            f"{kind}.{name}": value
            for kind, network in self._networks()
            for name, value in network.state_dict().items()
        }
        tensors["step"] = torch.tensor(self.step)
        for kind, optimiser in self._optimisers():
            for place, state in optimiser.state_dict()["state"].items():
                tensors |= {
                    f"{kind}.{place}.{name}": torch.as_tensor(value)
                    for name, value in state.items()
                }
        with files.replacing(path) as temporary:
            save_file(
                {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
                temporary,
                metadata={"mechanism": _facts(mechanism)},
            )

    def load(self, path: Path, mechanism: DpSgd) -> None:
        """Raises Refusal for a checkpoint of another mechanism."""
        with safe_open(path, framework="pt") as checkpoint:
            if (checkpoint.metadata() or {}).get("mechanism") != _facts(mechanism):
                raise Refusal(
                    f"{path.name} belongs to another mechanism than the one reserved: use a new"
                    " release id"
                )
        tensors = load_file(path)
        for kind, network in self._networks():
            network.load_state_dict(
                {
                    name.removeprefix(f"{kind}."): value
                    for name, value in tensors.items()
                    if name.startswith(f"{kind}.")
                }
            )
        for kind, optimiser in self._optimisers():
            description = optimiser.state_dict()
            state: dict[int, dict[str, torch.Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith(f"{kind}."):
                    _, place, field = name.split(".", 2)
                    state.setdefault(int(place), {})[field] = value
            optimiser.load_state_dict({"state": state, "param_groups": description["param_groups"]})
        self.step = int(tensors["step"])

    def _networks(self) -> tuple[tuple[str, nn.Module], ...]:
        return ("critic", self.critic), ("generator", self.generator)

    def _optimisers(self) -> tuple[tuple[str, torch.optim.Optimizer], ...]:
        return ("discriminate", self.critic_optimiser), ("generate", self.generator_optimiser)


def _facts(mechanism: DpSgd) -> str:
    return json.dumps(asdict(mechanism), sort_keys=True)


def refine(
    generator: ConditionalGenerator,
    codes: Codes,
    marginals: Marginals,
    legal: Relations,
    settings: TableSettings,
    mechanism: DpSgd,
    groups: np.ndarray,
    *,
    tape: Tape,
    noise: NoiseStream,
    checkpoint: Path,
    checkpoint_steps: int,
    progress: Progress,
    mirror: Mirror | None = None,
) -> torch.Tensor:
    """What the generator gives at its codes after mechanism.steps critic steps, with a step of its
    own after every few: float32 [codes, width]. Changes the generator. groups: int [patients,
    columns], of the patients' rows.

    Goes on from the checkpoint where there is one, with fresh noise. A checkpoint falls between
    steps. The tape gets the checkpoint's steps and then each step as it is executed; steps after
    the last checkpoint of a lost attempt left nothing behind. Raises Refusal where the
    checkpoint belongs to another mechanism, MechanismError where steps that were kept are gone.
    """
    state, path = _State(generator, codes, settings), checkpoint / "critic.safetensors"
    index = StepIndex(path, mirror)
    index.fetch()
    if path.is_file():
        state.load(path, mechanism)
    index.check(state.step)
    if state.step:
        tape.append(dpa.SelfComposedDpEvent(mechanism.step_event, state.step))
    spans = generator.spans
    loss_of = MarginalLoss(marginals, spans, legal, settings, codes.latent.device)
    places = torch.from_numpy(groups.astype(np.int64) + np.array(spans.offsets[:-1]))
    while state.step < mechanism.steps:
        _critic_step(state, settings, mechanism, places, noise)
        tape.append(mechanism.step_event)
        state.step += 1
        if state.step % settings.critic_per_generator == 0:
            _generator_step(state, settings, loss_of)
        if state.step % checkpoint_steps == 0:
            state.save(path, mechanism)
            index.note(state.step)
            progress(f"critic step {state.step}/{mechanism.steps}")
    state.save(path, mechanism)
    index.note(state.step)
    with torch.no_grad():
        return state.output()


def _critic_step(
    state: _State,
    settings: TableSettings,
    mechanism: DpSgd,
    places: torch.Tensor,
    noise: NoiseStream,
) -> None:
    """One private step: patients' half clipped, summed and noised; generated half added; weights
    clipped.
    """
    critic, device = state.critic, state.codes.latent.device
    width = state.generator.spans.width
    clipper = mechanism.ghost_clipper(critic)

    def clipped_sum(part: np.ndarray) -> dict[str, torch.Tensor]:
        rows = torch.zeros(len(part), width).scatter_(1, places[part], 1.0).to(device)
        return clipper.clipped_sum(
            lambda: -critic(rows), torch.arange(len(part), device=device), len(part)
        )

    batch = mechanism.sample(len(places), noise)
    gradients = mechanism.noisy_gradient(
        (clipped_sum(part) for part in micro_batches(batch, _MICRO_BATCH)),
        dict(critic.named_parameters()),
        noise,
    )
    with torch.no_grad():
        draws = _draw(state, state.output(), settings)
    score = critic(draws).mean()
    for (name, _), gradient in zip(
        critic.named_parameters(),
        torch.autograd.grad(score, list(critic.parameters())),
        strict=True,
    ):
        gradients[name] = gradients[name] + gradient
    set_gradients(critic, gradients)
    state.critic_optimiser.step()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.clamp_(-settings.critic_weight_limit, settings.critic_weight_limit)


def _generator_step(state: _State, settings: TableSettings, loss_of: MarginalLoss) -> None:
    """One step of the generator: up the critic's score, less the marginal loss and that of its
    conditions. No row is read.
    """
    state.generator_optimiser.zero_grad()
    q = state.output()
    score = state.critic(_draw(state, q, settings)).mean()
    loss = loss_of(q) + settings.condition_weight * state.codes.condition_loss(q)
    (loss - settings.critic_pull * score).backward()
    state.generator_optimiser.step()


def _draw(state: _State, q: torch.Tensor, settings: TableSettings) -> torch.Tensor:
    """A constant number of generated rows, one-hot forward and soft backward (straight-through);
    coins from the public seed and step. q: [codes, width], the generator at its codes.
    """
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + state.step)
    codes = torch.randint(len(q), (settings.critic_batch,), generator=generator).to(q.device)
    soft = q[codes]
    hard = []
    for part in soft.split(list(state.generator.spans.sizes), 1):
        group = torch.multinomial(part.detach().cpu() + 1e-9, 1, generator=generator).to(
            part.device
        )
        hard.append(torch.zeros_like(part).scatter_(1, group, 1.0))
    return torch.cat(hard, 1) + soft - soft.detach()
