"""Two ways to run the train stage on an extract with canaries: whole, or those parts alone that
read rows.

What reads rows is the same code in the same order in both. The parts that are left out (fitting
what is drawn from, to noisy counts and synthetic rows) cost most of the time and no budget, and no
auditor learns from them what the outputs before them do not tell.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch

from audit.canary_data import Invented
from audit.canary_replays import silent
from pipeline.catalog import Checkpoints
from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.pathway.draw.model import PathwayModel, new_model
from pipeline.models.pathway.fit.encoded_log import encode_log
from pipeline.models.pathway.fit.train import give, measure_tables, train_weights
from pipeline.models.synthesizer.fit import first_row_each
from pipeline.models.synthesizer.plan import Plan
from pipeline.models.table.fit.engines import ENGINES, Start, Training
from pipeline.models.table.fit.sequence import (
    legal_groups,
    marginals_of,
    measurements_of,
    spans_of,
    symbols_of,
)
from pipeline.models.table.measure.columns import encode_rows, groups_of_rows
from pipeline.models.table.measure.measurer import Measurer
from pipeline.restricted import train

Extract = tuple[pl.DataFrame, pl.DataFrame | None]  # patients, events
# the pathway model that comes out, None without events
TrainStage = Callable[[Invented, Extract, Plan, Path, Tape], PathwayModel | None]


def whole(
    data: Invented, extract: Extract, plan: Plan, folder: Path, tape: Tape
) -> PathwayModel | None:
    """All of `pipeline.restricted.train.fit`."""
    checkpoints = Checkpoints(folder)
    return train.fit(data.schema, *extract, plan, checkpoints, tape, train=data.train).pathway


def reading_parts(
    data: Invented, extract: Extract, plan: Plan, folder: Path, tape: Tape
) -> PathwayModel | None:
    """What reads rows: counts, the private choice, the critic, the pathways' gradients."""
    patients, events = first_row_each(extract[0]), extract[1]
    store, noise = MeasurementStore(Checkpoints(folder).counts), NoiseStream()
    _table_parts(patients, plan, folder, store, tape, noise)
    if plan.pathway is None or events is None:
        return None
    model, scale = new_model(data.schema, plan.pathway), plan.pathway_scale
    log = encode_log(model.coding, patients, events)
    noisy = measure_tables(model, log, patients, scale, store=store, tape=tape, noise=noise)
    give(model, noisy, [mechanism.sigma for mechanism in plan.pathway.counts(scale).values()])
    train_weights(
        model,
        log,
        plan.pathway.sgd(scale),
        tape=tape,
        noise=noise,
        checkpoint=folder / "pathway",
        progress=silent,
        device="cpu",
        checkpoint_steps=data.train.checkpoint_steps,
    )
    return model


def _table_parts(
    patients: pl.DataFrame,
    plan: Plan,
    folder: Path,
    store: MeasurementStore,
    tape: Tape,
    noise: NoiseStream,
) -> None:
    table, scale, device = plan.table, plan.table_scale, torch.device("cpu")
    cells = encode_rows(patients, table.domains())
    noisy = Measurer(table.counts(scale), table.choice(scale), store, tape, noise)
    measurements = measurements_of(noisy, cells, table, device, silent)
    if table.critic(scale) is None:
        return
    spans = spans_of(measurements)

    def groups() -> np.ndarray:
        of_rows = groups_of_rows(measurements.columns, cells)
        return np.stack([of_rows[name] for name in spans.names], 1)

    legal = legal_groups(table, symbols_of(measurements))
    ENGINES[table.settings.engine](
        Start(table, scale, marginals_of(table, measurements), spans, legal),
        Training(groups, tape, noise, folder / "table", 50, device, silent),
    )
