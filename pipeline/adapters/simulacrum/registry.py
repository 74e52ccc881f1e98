"""The Simulacrum's eleven tables (and ext_route, ext_cwt_pathway) as patients with a pathway, and
back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from pipeline.adapters.frames import SourceLog, event_columns, physical, shaped
from pipeline.adapters.legal_events import mended
from pipeline.adapters.simulacrum.carry import carry, uncarry
from pipeline.adapters.simulacrum.key_numbers import PATIENTS_FROM, as_registry_numbers
from pipeline.adapters.simulacrum.names import DRUG
from pipeline.adapters.simulacrum.read_events import pathway_rows
from pipeline.adapters.simulacrum.read_patients import static_rows
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema, Table

__all__ = ["as_registry_numbers", "to_log", "to_tables", "with_drug_numbers"]

Tables = Mapping[str, pl.DataFrame]


def to_log(schema: Schema, tables: Tables) -> SourceLog:
    """Patients with a tumour and an end of follow-up, their pathways, and what the tables hold
    beside. Each patient by his or her own rows alone.
    """
    assert schema.events is not None
    complete = {
        name: _complete(tables[name], table)
        for name, table in schema.tables.items()
        if name in tables
    }
    read = complete | {
        name: _complete(pl.DataFrame(), table)
        for name, table in schema.tables.items()
        if name not in tables and table.required
    }
    patients = static_rows(schema, read)
    pathway = pathway_rows(schema, read, patients)
    legal = mended(schema, patients, pathway.events)
    patients, events = legal.patients, legal.events
    carried = {
        name: rows for name, rows in carry(read, patients, events).items() if name in complete
    }
    log = PatientLog(patients, events.select(event_columns(schema.events)))
    left_out = pl.concat([pathway.left_out, legal.left_out])
    return SourceLog(log, carried, left_out, pl.concat([pathway.moved, legal.moved]))


def to_tables(
    schema: Schema, log: PatientLog, *, extract_date: date | None, carried: Tables | None
) -> dict[str, pl.DataFrame]:
    """The tables again: exactly, with what was `carried`; by public rules with fresh keys, without
    it.
    """
    if carried is not None:
        return uncarry(carried, log)
    from pipeline.adapters.simulacrum.write import rebuild

    built = rebuild(schema, log, extract_date)
    return {
        name: shaped(built[name], table).sort(_order(table))
        for name, table in schema.tables.items()
    }


def with_drug_numbers(
    tables: dict[str, pl.DataFrame], n_before: int
) -> tuple[dict[str, pl.DataFrame], int]:
    """`tables` with the rows of drugs numbered on from `n_before`, and how many there are then: a
    patient may have hundreds, so that a number made of the patient's own would not be below 2^31.
    """
    rows = tables[DRUG]
    first = PATIENTS_FROM + n_before + 1
    numbered = rows.with_columns(
        pl.int_range(first, first + pl.len(), dtype=pl.Int64).alias("MERGED_DRUG_DETAIL_ID")
    )
    return {**tables, DRUG: numbered}, n_before + rows.height


def _order(table: Table) -> list[str]:
    """By patient and number, then by date: one order of the rows, whatever way they were joined."""
    numbers = [name for name, column in table.columns.items() if column.kind == "id"]
    first = [name for name in (table.patient, *(table.through or ())[1:]) if name is not None]
    return list(
        dict.fromkeys(
            [
                *first,
                *numbers,
                *(name for name, column in table.columns.items() if column.kind == "date"),
                *table.key,
            ]
        )
    )


def _complete(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """`rows` with every declared column; one that the source lacks is null. A column of another
    type keeps it.
    """
    lacking = [
        pl.lit(None, physical(column)).alias(name)
        for name, column in table.columns.items()
        if name not in rows.columns
    ]
    if not rows.width:
        return pl.DataFrame(
            schema={name: physical(column) for name, column in table.columns.items()}
        )
    return rows.drop(ID, strict=False).with_columns(lacking).select(list(table.columns))
