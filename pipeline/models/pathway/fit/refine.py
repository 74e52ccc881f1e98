"""What the model learns from its noisy tables, without budget: heads, passes of calibration,
weights of cells. Reads no patient's row.

A pass draws candidates for synthetic patients, picks by the tables, and teaches the network what
was picked (the cross-entropy method; Rubinstein 1999): what one choice among few candidates cannot
correct, several passes can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pipeline.models.pathway.draw.model import PathwayModel
from pipeline.models.pathway.fit.calibrate import calibrated_size, find_tilt, population, target_of
from pipeline.models.pathway.fit.data import EncodedLog, batch_of
from pipeline.models.pathway.fit.descend import descend
from pipeline.models.pathway.fit.heads import fit_heads

BATCH = 1024  # synthetic patients a step


def calibrated(
    model: PathwayModel,
    noisy: Sequence[np.ndarray],
    sigmas: Sequence[float],
    draw_patients: Callable[[int], pl.DataFrame],
    progress: Callable[[str], None],
    device: str,
) -> PathwayModel:
    """The model with heads and tilt. noisy, sigmas: of each table; draw_patients(n): synthetic
    static rows with patient_id.
    """
    settings, rng = model.settings, np.random.default_rng(model.settings.seed)
    told = _Told(noisy, sigmas, population(noisy, sigmas))
    patients = draw_patients(
        max(settings.calibration_patients, settings.pass_patients if settings.passes else 0)
    )
    few, many = patients.head(settings.calibration_patients), patients.head(settings.pass_patients)
    # twice, because who has a second event depends on the heads
    for _ in range(2 if model.heads else 0):
        model = with_heads(model, told, few, model.draw_log(few, rng))
    progress("codes fitted to the tables")
    for number in range(settings.passes):
        model = replace(model, tilt=tilt_of(model, told, few, settings.pass_candidates, rng))
        learn(model, model.draw_log(many, rng, settings.pass_candidates), rng, device)
        progress(f"pathways calibrated, pass {number + 1} of {settings.passes}")
    model = replace(model, tilt=())
    if model.heads and settings.passes:  # who chooses has changed with what was learned
        model = with_heads(model, told, few, model.draw_log(few, rng))
    model = replace(model, tilt=tilt_of(model, told, few, settings.candidates, rng))
    progress("pathways calibrated")
    return model


@dataclass(frozen=True, eq=False)
class _Told:
    """Noisy counts of each table, their noise, and the number of patients that they tell."""

    noisy: Sequence[np.ndarray]
    sigmas: Sequence[float]
    size: float


def with_heads(
    model: PathwayModel, told: _Told, patients: pl.DataFrame, log: EncodedLog
) -> PathwayModel:
    return replace(
        model,
        heads=fit_heads(
            model.coding, model.tables, told.noisy, told.sigmas, patients, log, told.size
        ),
    )


def tilt_of(
    model: PathwayModel,
    told: _Told,
    patients: pl.DataFrame,
    candidates: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    targets = [
        target_of(model.coding, table, counts, sigma)
        for table, counts, sigma in zip(model.tables, told.noisy, told.sigmas, strict=True)
        if calibrated_size(model.coding, table)
    ]
    return find_tilt(targets, model.candidate_cells(patients, rng, candidates), told.size)


def learn(model: PathwayModel, log: EncodedLog, rng: np.random.Generator, device: str) -> None:
    """Teaches the network these synthetic pathways, in place."""
    settings, where = model.settings, torch.device(device)
    network = model.network.to(where).train()

    def loss() -> Tensor:
        batch = batch_of(
            model.coding,
            log,
            rng.choice(log.n_patients, min(BATCH, log.n_patients), replace=False),
            where,
        )
        batch = replace(batch, weight=torch.ones_like(batch.weight))
        return network.row_losses(batch).sum() / BATCH

    descend(network.parameters(), loss, settings.pass_steps, settings.pass_rate)
    network.to("cpu").eval()
