"""SDMetrics' metadata of the static table, and of patients with their events, from the
declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import polars as pl

from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.sdmetrics_words import sdtype
from pipeline.schema.values import Column, Schema

TABLE = "patients"
EVENTS = "events"
CASTS: Mapping[str, pl.DataType] = {
    "categorical": pl.String(),
    "ordinal": pl.String(),
    "continuous": pl.Float64(),
    "date": pl.Datetime("ns"),
}
PLAIN_EVENT = {
    "day": Column(name="day", kind="continuous"),
    "type": Column(name="type", kind="categorical"),
    "code": Column(name="code", kind="categorical"),
}


def single_table(columns: Mapping[str, Column]) -> dict[str, Any]:
    """{"tables": {"patients": {"columns": {name: {"sdtype": ...}}}}} for the modelled columns."""
    return {"tables": {TABLE: {"columns": _sdtypes(columns)}}}


def _sdtypes(columns: Mapping[str, Column]) -> dict[str, dict[str, str]]:
    return {
        name: {"sdtype": sdtype(column)} for name, column in columns.items() if column.kind in CASTS
    }


def to_pandas(frame: pl.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
    """The static columns in the types that SDMetrics wants: strings, floats, timestamps."""
    return frame.select(
        pl.col(name).cast(CASTS[column.kind])
        for name, column in columns.items()
        if column.kind in CASTS
    ).to_pandas()


def event_columns(schema: Schema) -> dict[str, Column]:
    """Day, type, code and the declared attributes."""
    assert schema.events is not None
    return {**PLAIN_EVENT, **schema.events.attributes}


def two_tables(schema: Schema, columns: Mapping[str, Column]) -> dict[str, Any]:
    """Patients and the `columns` of their events, joined by the patient's id."""
    key = {ID: {"sdtype": "id"}}
    return {
        "tables": {
            TABLE: {"primary_key": ID, "columns": key | _sdtypes(schema.patients)},
            EVENTS: {"columns": key | _sdtypes(columns)},
        },
        "relationships": [
            {
                "parent_table_name": TABLE,
                "parent_primary_key": ID,
                "child_table_name": EVENTS,
                "child_foreign_key": ID,
            }
        ],
    }


def two_frames(
    schema: Schema, log: PatientLog, columns: Mapping[str, Column]
) -> dict[str, pd.DataFrame]:
    """What `two_tables` describes."""
    pairs = ((TABLE, log.patients, schema.patients), (EVENTS, log.pathways, columns))
    frames = {}
    for name, rows, some in pairs:
        frames[name] = to_pandas(rows, some)
        frames[name].insert(0, ID, rows[ID].to_numpy())
    return frames
