"""A small sample beside the extract, for a first look: the first synthetic patients, whose order
carries no meaning.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from pipeline.adapters import to_tables
from pipeline.catalog import Patients
from pipeline.released.writers import TableWriter
from pipeline.schema.values import Schema


def write_small_sample(
    schema: Schema, synthetic: Patients, out: Path, n_patients: int, extract_date: date | None
) -> None:
    """The tables of at most `n_patients` synthetic patients, below `out`, in the extract's own
    forms.
    """
    patients = pl.read_parquet(synthetic.patients).head(n_patients)
    events = (
        pl.read_parquet(synthetic.events).join(
            patients.select("patient_id"), on="patient_id", how="semi"
        )
        if synthetic.events.exists()
        else None
    )
    with TableWriter(schema, out) as writer:
        writer.write(to_tables(schema, patients, events, extract_date=extract_date))
