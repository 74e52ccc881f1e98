"""What the model learns from its noisy tables, without budget: heads, passes of calibration,
weights of cells. All of it is post-processing: it reads no patient's row.

A pass draws candidates for synthetic patients, picks by the calibration weights, and teaches the
network what was picked (the cross-entropy method; Rubinstein 1999): what one choice among few
candidates cannot correct, several passes can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pipeline.models.pathway.domain.choices import calibration_size
from pipeline.models.pathway.draw.model import PathwayModel
from pipeline.models.pathway.fit.cell_weights import fit_log_weights, noisy_margin, population
from pipeline.models.pathway.fit.descend import descend
from pipeline.models.pathway.fit.encoded_log import EncodedLog, batch_of, encode_pathways
from pipeline.models.pathway.fit.head_choices import choices_by_head
from pipeline.models.pathway.fit.heads import fit_heads

HEAD_STEPS, ROUGH_STEPS = 150, (50, 50, 50)
BATCH = 1024  # synthetic patients a step


@dataclass(frozen=True, eq=False)
class NoisyTables:
    """Noisy counts [cells] of each table, the standard deviation of their noise, and the number of
    patients that they estimate.
    """

    counts: Sequence[np.ndarray]
    sigmas: Sequence[float]
    size: float


def calibrate(
    model: PathwayModel,
    noisy: Sequence[np.ndarray],
    sigmas: Sequence[float],
    draw_patients: Callable[[int], pl.DataFrame],
    progress: Callable[[str], None],
    device: str,
) -> PathwayModel:
    """The model with heads and calibration weights.

    noisy, sigmas: noisy counts [cells] of each table and the standard deviation of their noise;
    draw_patients(n): synthetic static rows with patient_id.
    """
    settings, rng = model.settings, np.random.default_rng(model.settings.seed)
    tables = NoisyTables(noisy, sigmas, population(noisy, sigmas))
    patients = draw_patients(
        max(settings.calibration_patients, settings.pass_patients if settings.passes else 0)
    )
    few, many = patients.head(settings.calibration_patients), patients.head(settings.pass_patients)
    for steps in _rounds(model):
        model = with_heads(model, tables, few, draw_log(model, few, rng), steps)
    progress("codes fitted to the tables")
    for number in range(settings.passes):
        model = with_log_weights(model, tables, few, settings.pass_candidates, rng)
        log = draw_log(model, many, rng, settings.pass_candidates, model.values_matter)
        learn(model, log, rng, device)
        progress(f"pathways calibrated, pass {number + 1} of {settings.passes}")
    model = replace(model, log_weights=())
    if model.heads and settings.passes:  # who chooses has changed with what was learned
        model = with_heads(model, tables, few, draw_log(model, few, rng), HEAD_STEPS)
    model = with_log_weights(model, tables, few, settings.candidates, rng)
    progress("pathways calibrated")
    return model


def _rounds(model: PathwayModel) -> tuple[int, ...]:
    """How often the heads are fitted, and in how many steps: twice, because who has a second event
    depends on them; more often where values depend on values of the same event and on earlier ones.
    """
    if not model.heads:
        return ()
    if any(table.counts_picked_events for table in model.tables):
        return (*ROUGH_STEPS, HEAD_STEPS)
    return (HEAD_STEPS, HEAD_STEPS)


def draw_log(
    model: PathwayModel,
    patients: pl.DataFrame,
    rng: np.random.Generator,
    candidates: int = 1,
    values: bool = True,
) -> EncodedLog:
    """One pathway for each synthetic patient, picked of `candidates` by the calibration weights,
    with the states that it goes through. values: whether attributes are drawn, too.
    """
    pathways = model.draw_pathways(patients, rng, candidates, values)
    return encode_pathways(model.coding, patients, pathways)


def with_heads(
    model: PathwayModel,
    tables: NoisyTables,
    patients: pl.DataFrame,
    log: EncodedLog,
    steps: int,
) -> PathwayModel:
    """The model with heads fitted to the tables. patients, log: synthetic, by the model so far."""
    heads = fit_heads(
        model.coding,
        model.tables,
        tables.counts,
        tables.sigmas,
        patients,
        choices_by_head(model.coding, model.tables, patients, log),
        tables.size,
        steps,
    )
    return replace(model, heads=heads)


def with_log_weights(
    model: PathwayModel,
    tables: NoisyTables,
    patients: pl.DataFrame,
    candidates: int,
    rng: np.random.Generator,
) -> PathwayModel:
    """The model with calibration weights fitted on fresh candidates of synthetic patients."""
    margins = [
        noisy_margin(model.coding, table, counts, sigma)
        for table, counts, sigma in zip(model.tables, tables.counts, tables.sigmas, strict=True)
        if calibration_size(model.coding, table)
    ]
    cells = model.candidate_cells(patients, rng, candidates)
    return replace(model, log_weights=fit_log_weights(margins, cells, tables.size))


def learn(model: PathwayModel, log: EncodedLog, rng: np.random.Generator, device: str) -> None:
    """Teaches the network these synthetic pathways, in place, and leaves it on the CPU."""
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
