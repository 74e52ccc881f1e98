"""Layout `table`: one row per patient; modelled columns pass through, the rest is carried."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.adapters.frames import SourceLog, cast, physical, static_columns
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema, Table


def to_log(schema: Schema, tables: Mapping[str, pl.DataFrame]) -> SourceLog:
    name, table = _only(schema)
    rows = with_patient_id(tables[name], table)
    beside = [
        column
        for column in table.columns
        if column not in schema.patients and column in rows.columns
    ]
    return SourceLog(
        PatientLog(static_columns(schema, rows)),
        {name: rows.select(ID, *(pl.col(column) for column in beside))},
    )


def to_tables(
    schema: Schema, patients: pl.DataFrame, carried: Mapping[str, pl.DataFrame] | None
) -> dict[str, pl.DataFrame]:
    name, table = _only(schema)
    rows = (
        patients
        if carried is None
        else patients.join(carried[name], on=ID, how="inner", maintain_order="left")
    )
    return {name: fresh(rows, table)}


def with_patient_id(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """`rows` with patient_id: the table's own id, or the column that ingest gave it."""
    if table.patient is not None:
        return rows.with_columns(pl.col(table.patient).alias(ID))
    if ID not in rows.columns:
        raise Refusal(
            f"table {table.file} has neither a column for the patient's id nor {ID}; ingest"
            " gives rows without an id one."
        )
    return rows


def fresh(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The declared columns in order. What the rows lack: the patient's id, a rebuilt column of one
    category (a constant), null else.
    """
    columns = []
    for name, column in table.columns.items():
        if name in rows.columns:
            columns.append(cast(name, column))
        elif name == table.patient:
            columns.append(pl.col(ID).cast(physical(column), strict=False).alias(name))
        else:
            constant = (
                column.categories[0]
                if column.role == "rebuilt" and len(column.categories) == 1
                else None
            )
            columns.append(pl.lit(constant, physical(column)).alias(name))
    return rows.select(columns)


def _only(schema: Schema) -> tuple[str, Table]:
    if len(schema.tables) != 1:
        raise Refusal(
            f"{schema.dataset}: layout table has one table, the declaration has"
            f" {len(schema.tables)}. Use layout log or registry."
        )
    return next(iter(schema.tables.items()))
