"""Fits both models by exactly the mechanisms of the joint plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.mirror import Mirror
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.pathway.fit import train as pathway_fit
from pipeline.models.synthesizer.draw import with_ids
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.models.synthesizer.plan import Plan
from pipeline.models.table.fit import fit as table_fit
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema

Progress = Callable[[str], None]


def fit_synthesizer(
    schema: Schema,
    patients: pl.DataFrame,
    events: pl.DataFrame | pl.LazyFrame | None,
    plan: Plan,
    *,
    store: MeasurementStore,
    tape: Tape,
    noise: NoiseStream,
    checkpoint: Path,
    progress: Progress,
    device: str = "cpu",
    checkpoint_steps: int = 50,
    mirror: Mirror | None = None,
) -> Synthesizer:
    """Both models, by exactly the mechanisms of `plan.dp_event`, which end up on the tape. Resumes
    from store and checkpoint, on another host from the mirror.

    patients: patient_id and the static columns; events: the event log, or a lazy frame. The privacy
    unit is a patient_id: of its rows in `patients` the first is read, and its events are those of
    one patient (privacy_rules.md 8). Raises Refusal for declared events without an event log.
    """
    _refuse_missing_log(schema, plan, events)
    patients = first_row_each(patients)
    options: dict[str, Any] = {"store": store, "tape": tape, "noise": noise}
    options |= {"device": device, "checkpoint_steps": checkpoint_steps, "mirror": mirror}
    tables = table_fit.fit(
        patients,
        plan.table,
        plan.table_scale,
        checkpoint=checkpoint / "table",
        progress=lambda text: progress(f"table: {text}"),
        **options,
    )
    if plan.pathway is None:
        return Synthesizer(schema, plan, tables, None)
    assert events is not None  # refused above
    seed = plan.pathway.settings.seed
    pathways = pathway_fit.fit(
        schema,
        patients,
        events,
        plan.pathway,
        plan.pathway_scale,
        checkpoint=checkpoint / "pathway",
        progress=lambda text: progress(f"pathway: {text}"),
        **options,
        draw_patients=lambda n: with_ids(tables.sample(n, np.random.default_rng([seed, n])), 1),
    )
    return Synthesizer(schema, plan, tables, pathways)


def _refuse_missing_log(schema: Schema, plan: Plan, events: object) -> None:
    if plan.pathway is not None and events is None:
        raise Refusal(
            f"{schema.dataset} declares events, but there is no event log: ingest should have"
            " made one"
        )


def first_row_each(patients: pl.DataFrame) -> pl.DataFrame:
    """One row per patient id, the first; all rows of a table without ids."""
    if ID not in patients.columns:
        return patients
    return patients.unique(ID, keep="first", maintain_order=True)
