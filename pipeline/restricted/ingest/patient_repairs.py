"""Declared repairs that look at several rows of one patient. Each changes that patient's rows
only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import polars as pl

from pipeline.restricted.ingest.owners import patient_table
from pipeline.schema.patient_log import ID
from pipeline.schema.values import EventLog, Schema

Tables = Mapping[str, pl.DataFrame]  # rows with patient_id, by table


def align_to_origin(schema: Schema, log: EventLog, tables: Tables) -> tuple[str, str, pl.Series]:
    """All dates of a patient's rows move by the same days, so that the first anchor event falls on
    the day of origin.

    For sources whose files were shifted apart, as ClinEpiDB's are. A patient without an anchor
    event or without an origin stays as is.
    """
    assert log.rows is not None
    rows = tables[log.rows.table]
    anchors = (
        rows.filter(pl.col(log.rows.type or "") == log.anchor)
        .group_by(ID)
        .agg(pl.col(log.rows.date).min().alias("_anchor"))
    )
    both = rows.join(anchors, on=ID, how="left", maintain_order="left").join(
        _origins(schema, log, tables), on=ID, how="left", maintain_order="left"
    )
    moved = pl.col(log.rows.date) + (pl.col("_origin") - pl.col("_anchor")).fill_null(pl.duration())
    return log.rows.table, log.rows.date, both.select(moved.alias(log.rows.date)).to_series()


def not_before_origin(schema: Schema, log: EventLog, tables: Tables) -> tuple[str, str, pl.Series]:
    """A date before the day of origin becomes the day of origin."""
    assert log.rows is not None
    both = tables[log.rows.table].join(
        _origins(schema, log, tables), on=ID, how="left", maintain_order="left"
    )
    return (
        log.rows.table,
        log.rows.date,
        both.select(pl.max_horizontal(log.rows.date, "_origin").alias(log.rows.date)).to_series(),
    )


def end_after_rows(schema: Schema, log: EventLog, tables: Tables) -> tuple[str, str, pl.Series]:
    """The end of follow-up is not before the patient's last row."""
    assert log.rows is not None and log.ending is not None
    last = tables[log.rows.table].group_by(ID).agg(pl.col(log.rows.date).max().alias("_last"))
    both = tables[log.ending.table].join(last, on=ID, how="left", maintain_order="left")
    return (
        log.ending.table,
        log.ending.date,
        both.select(pl.max_horizontal(log.ending.date, "_last").alias(log.ending.date)).to_series(),
    )


ORDER: Mapping[str, Callable[[Schema, EventLog, Tables], tuple[str, str, pl.Series]]] = {
    "align_to_origin": align_to_origin,
    "not_before_origin": not_before_origin,
    "end_after_rows": end_after_rows,
}


def apply(
    schema: Schema, tables: Tables, repaired: Counter[tuple[str, str, str]]
) -> dict[str, pl.DataFrame]:
    """The tables after the repairs that the declaration names; adds to `repaired` (table, column,
    repair) the cells that changed.
    """
    tables = dict(tables)
    named = {
        name
        for table in schema.tables.values()
        for column in table.columns.values()
        for name in column.repairs
    }
    for name, repair in ORDER.items():
        if name not in named or schema.events is None or schema.events.rows is None:
            continue
        table, column, values = repair(schema, schema.events, tables)
        repaired[table, column, name] += int(values.ne_missing(tables[table][column]).sum())
        tables[table] = tables[table].with_columns(values.alias(column))
    return tables


def _origins(schema: Schema, log: EventLog, tables: Tables) -> pl.DataFrame:
    return tables[patient_table(schema)].select(ID, pl.col(log.origin).alias("_origin")).unique(ID)
