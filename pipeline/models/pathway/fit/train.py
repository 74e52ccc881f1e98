"""Training: the calibration tables, then DP-SGD with one clipped gradient per patient over all of
his or her events. What reads rows: the DpSgd and the NoisyCounts of the plan, nothing else. Steps
are fixed; checkpoints fall between steps and hold no noise.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import dp_accounting as dpa
import numpy as np
import polars as pl
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.dp.marginals import MeasurementStore, one_way_counts
from pipeline.dp.mirror import Mirror
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd, micro_batches
from pipeline.dp.steps import StepIndex
from pipeline.dp.tape import Tape
from pipeline.models.noisy_tables import Axis, NoisyTable
from pipeline.models.pathway.domain.fact_cells import part_cells
from pipeline.models.pathway.domain.fact_names import PAIR_TYPES
from pipeline.models.pathway.domain.network import PER_PATIENT
from pipeline.models.pathway.domain.tables import table_cells
from pipeline.models.pathway.draw.model import PathwayModel, new_model
from pipeline.models.pathway.fit.calibration import calibrate
from pipeline.models.pathway.fit.encoded_log import EncodedLog, batch_of, encode_log
from pipeline.models.pathway.fit.given import (
    by_parts,
    return_shares,
    type_logits,
    wait_logits,
)
from pipeline.models.pathway.fit.rhythm_logits import rhythm_logits
from pipeline.models.pathway.plan.mechanisms import PathwayPlan
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.refusal import Refusal
from pipeline.schema.values import Schema

Progress = Callable[[str], None]
DrawPatients = Callable[[int], pl.DataFrame]
CHECKPOINT = "pathway.safetensors"
ADAM_BETAS, ADAM_TINY = (0.9, 0.999), 1e-8


@dataclass
class Training:
    """Weights, their moving average and Adam's moments (Kingma and Ba 2015), all by parameter name,
    after `step` updates.
    """

    step: int
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    first: dict[str, Tensor]
    second: dict[str, Tensor]


def fit(
    schema: Schema,
    patients: pl.DataFrame,
    events: pl.DataFrame | pl.LazyFrame,
    plan: PathwayPlan,
    scale: float,
    *,
    store: MeasurementStore,
    tape: Tape,
    noise: NoiseStream,
    checkpoint: Path,
    progress: Progress,
    draw_patients: DrawPatients,
    device: str = "cpu",
    checkpoint_steps: int = 50,
    mirror: Mirror | None = None,
) -> PathwayModel:
    """The pathway model, (epsilon, delta) as its plan's event at `scale`.

    Resumes from `checkpoint` where there is one: then the tape gets the steps of the earlier
    attempt too, and the noise is new. draw_patients(n) gives synthetic static rows with patient_id,
    on which the model is calibrated.
    """
    model = new_model(schema, plan)
    log = encode_log(model.coding, patients, events)
    progress("pathways encoded")
    noisy = measure_tables(model, log, patients, scale, store=store, tape=tape, noise=noise)
    progress("pathways measured")
    sigmas = [mechanism.sigma for mechanism in plan.counts(scale).values()]
    give(model, noisy, sigmas)
    train_weights(
        model,
        log,
        plan.sgd(scale),
        tape=tape,
        noise=noise,
        checkpoint=checkpoint,
        progress=progress,
        device=device,
        checkpoint_steps=checkpoint_steps,
        mirror=mirror,
    )
    if not noisy:
        return model
    model = replace(model, noisy_counts=published_tables(model, noisy, sigmas))
    return calibrate(model, noisy, sigmas, draw_patients, progress, device)


def give(model: PathwayModel, noisy: Sequence[np.ndarray], sigmas: Sequence[float]) -> None:
    """Puts into the untrained network, in place, what the noisy counts [cells] say of waits and of
    neighbouring types.
    """
    network, coding = model.network, model.coding
    tables = by_parts(model.tables, noisy, sigmas)
    logits = rhythm_logits(coding, model.tables, noisy, sigmas)
    if coding.pair_row is not None:
        logits = np.concatenate([logits, wait_logits(coding, tables)])
    network.rhythms.copy_(torch.from_numpy(logits))
    if coding.returns:
        network.returns.copy_(torch.from_numpy(return_shares(coding, tables)))
    if PAIR_TYPES in tables:
        with torch.no_grad():
            network.follows.weight.copy_(torch.from_numpy(type_logits(coding, tables)))


def published_tables(
    model: PathwayModel, noisy: Sequence[np.ndarray], sigmas: Sequence[float]
) -> tuple[NoisyTable, ...]:
    """The noisy counts as a reader gets them."""
    axes = {
        part: Axis(part, part_cells(model.coding, part))
        for part in {part for table in model.tables for part in table.parts}
    }
    return tuple(
        NoisyTable(
            table.name,
            tuple(axes[part] for part in table.parts),
            counts.reshape(table.sizes).astype(float),
            sigma,
        )
        for table, counts, sigma in zip(model.tables, noisy, sigmas, strict=True)
    )


def measure_tables(
    model: PathwayModel,
    log: EncodedLog,
    patients: pl.DataFrame,
    scale: float,
    *,
    store: MeasurementStore,
    tape: Tape,
    noise: NoiseStream,
) -> list[np.ndarray]:
    """Noisy counts of the calibration tables, int64 [cells] each: one cell per patient and
    table.
    """
    cells = table_cells(model.coding, model.tables, patients, log.pathways)
    noisy = []
    for mechanism, cell in zip(model.plan.counts(scale).values(), cells, strict=True):
        noisy.append(
            store.get_or_measure(mechanism, partial(one_way_counts, cell, mechanism.cells), noise)
        )
        tape.append(mechanism.dp_event)
    return noisy


def train_weights(
    model: PathwayModel,
    log: EncodedLog,
    mechanism: DpSgd,
    *,
    tape: Tape,
    noise: NoiseStream,
    checkpoint: Path,
    progress: Progress,
    device: str,
    checkpoint_steps: int,
    mirror: Mirror | None = None,
) -> None:
    """All steps of the mechanism; leaves the averaged weights in the model's network, on the CPU.
    The steps that ran go on the tape. Raises MechanismError where steps that were kept are gone.
    """
    network, settings, where = model.network, model.settings, torch.device(device)
    network.to(where).train()
    parameters = dict(network.named_parameters())
    index = StepIndex(checkpoint / CHECKPOINT, mirror)
    index.fetch()
    state = _resume(checkpoint / CHECKPOINT, parameters, mechanism, where)
    index.check(state.step)
    if state.step:
        tape.append(dpa.SelfComposedDpEvent(mechanism.step_event, state.step))
        progress(f"pathway step {state.step}/{mechanism.steps}, resumed")
    clipper = mechanism.ghost_clipper(
        network, per_patient=PER_PATIENT if log.statics.shape[1] else ()
    )
    while state.step < mechanism.steps:
        _load(parameters, state.weights)
        sampled = mechanism.sample(log.n_patients, noise)
        batches = (
            batch_of(model.coding, log, part, where)
            for part in micro_batches(sampled, settings.micro_batch)
        )
        sums = (
            clipper.clipped_sum(partial(network.row_losses, batch), batch.owner, len(batch.statics))
            for batch in batches
        )
        _update(state, mechanism.noisy_gradient(sums, parameters, noise), mechanism.steps, settings)
        tape.append(mechanism.step_event)
        if state.step % checkpoint_steps == 0 or state.step == mechanism.steps:
            _save(checkpoint / CHECKPOINT, state, mechanism)
            index.note(state.step)
            progress(f"pathway step {state.step}/{mechanism.steps}")
    _load(parameters, state.average)
    network.to("cpu").eval()


def _update(
    state: Training, gradients: dict[str, Tensor], steps: int, settings: PathwaySettings
) -> None:
    """Adam with warm-up and linear decay; the average follows. Reads noisy gradients only."""
    state.step += 1
    rate = (
        settings.learning_rate
        * min(1.0, state.step / max(settings.warm_up_steps, 1))
        * (1 - (state.step - 1) / steps)
    )
    # young averages forget the start faster
    decay = min(settings.average_decay, state.step / (state.step + 10))
    for name, gradient in gradients.items():
        first = state.first[name].mul_(ADAM_BETAS[0]).add_(gradient, alpha=1 - ADAM_BETAS[0])
        second = (
            state.second[name]
            .mul_(ADAM_BETAS[1])
            .addcmul_(gradient, gradient, value=1 - ADAM_BETAS[1])
        )
        size = (second / (1 - ADAM_BETAS[1] ** state.step)).sqrt_().add_(ADAM_TINY)
        state.weights[name].mul_(1 - rate * settings.weight_decay).addcdiv_(
            first / (1 - ADAM_BETAS[0] ** state.step), size, value=-rate
        )
        state.average[name].mul_(decay).add_(state.weights[name], alpha=1 - decay)


@torch.no_grad()
def _load(parameters: dict[str, torch.nn.Parameter], values: dict[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])


def _resume(
    file: Path, parameters: dict[str, torch.nn.Parameter], mechanism: DpSgd, where: torch.device
) -> Training:
    """The last checkpoint, or the start. Raises Refusal for a checkpoint of another
    mechanism.
    """
    if not file.exists():
        start = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        zeros = [{name: torch.zeros_like(value) for name, value in start.items()} for _ in range(2)]
        return Training(0, start, {name: value.clone() for name, value in start.items()}, *zeros)
    with safe_open(file, framework="pt", device=str(where)) as checkpoint:
        facts = checkpoint.metadata()
        if facts["mechanism"] != _facts(mechanism):
            raise Refusal(
                f"{file.name} belongs to another mechanism than the one reserved: use a new"
                " release id"
            )
        parts = [
            {name: checkpoint.get_tensor(f"{part}/{name}") for name in parameters}
            for part in ("weights", "average", "first", "second")
        ]
    return Training(int(facts["step"]), *parts)


def _save(file: Path, state: Training, mechanism: DpSgd) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{part}/{name}": value.cpu()
        for part in ("weights", "average", "first", "second")
        for name, value in getattr(state, part).items()
    }
    temporary = file.with_suffix(".tmp")
    save_file(
        tensors, temporary, metadata={"step": str(state.step), "mechanism": _facts(mechanism)}
    )
    with temporary.open("rb") as file_on_disk:
        os.fsync(file_on_disk.fileno())
    temporary.replace(file)


def _facts(mechanism: DpSgd) -> str:
    return json.dumps(asdict(mechanism), sort_keys=True)
