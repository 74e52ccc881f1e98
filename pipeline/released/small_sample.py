"""A small sample beside the extract, for a first look: the first synthetic patients, whose order
carries no meaning.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from pipeline.adapters import extract_tables
from pipeline.catalog import Patients
from pipeline.released.writers import TableWriter
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema


def write_small_sample(
    schema: Schema, synthetic: Patients, out: Path, n_patients: int, extract_date: date | None
) -> None:
    """The tables of at most `n_patients` synthetic patients, below `out`, in the extract's own
    forms.
    """
    patients, events = pl.read_parquet(synthetic.patients, n_rows=n_patients), None
    if synthetic.events.is_file():
        events = (
            pl.scan_parquet(synthetic.events)
            .join(patients.lazy().select(ID), on=ID, how="semi", maintain_order="left")
            .collect()
        )
    first = PatientLog(patients, events)
    with TableWriter(schema, out) as writer:
        writer.write(extract_tables(schema, first, extract_date)[0])
