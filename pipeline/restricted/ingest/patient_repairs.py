"""Declared repairs that look at several rows of one patient. Each changes that patient's rows
only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import polars as pl

from pipeline.adapters.long_table import first_rows
from pipeline.restricted.ingest.owners import patient_table
from pipeline.schema.event_source import EventSource
from pipeline.schema.long_table import long_table, once_of
from pipeline.schema.patient_log import ID
from pipeline.schema.values import EventLog, Schema

Tables = Mapping[str, pl.DataFrame]  # rows with patient_id, by table


def align_to_origin(
    schema: Schema, log: EventLog, source: EventSource, tables: Tables
) -> pl.Series:
    """All dates of a patient's rows move by the same days, so that the first anchor event falls on
    the day of origin.

    For sources whose files were shifted apart, as ClinEpiDB's are. A patient without an anchor
    event or without an origin stays as is.
    """
    rows, date = tables[source.table], source.date or ""
    kind = pl.lit(source.constant) if source.type is None else pl.col(source.type)
    anchors = rows.filter(kind == log.anchor).group_by(ID).agg(pl.col(date).min().alias("_anchor"))
    both = rows.join(anchors, on=ID, how="left", maintain_order="left").join(
        _origins(schema, log, tables), on=ID, how="left", maintain_order="left"
    )
    moved = pl.col(date) + (pl.col("_origin") - pl.col("_anchor")).fill_null(pl.duration())
    return both.select(moved.alias(date)).to_series()


def not_before_origin(
    schema: Schema, log: EventLog, source: EventSource, tables: Tables
) -> pl.Series:
    """A date before the day of origin becomes the day of origin."""
    date = source.date or ""
    both = tables[source.table].join(
        _origins(schema, log, tables), on=ID, how="left", maintain_order="left"
    )
    day = pl.when(pl.col(date).is_not_null()).then(pl.max_horizontal(date, "_origin"))
    return both.select(day.alias(date)).to_series()


def end_after_rows(schema: Schema, log: EventLog, source: EventSource, tables: Tables) -> pl.Series:
    """The end of follow-up is not before the patient's last row, in whichever table."""
    date = source.date or ""
    rows = [
        tables[other.table].select(ID, pl.col(name).alias("_last"))
        for other in log.rows
        if other.date is not None and other.table in tables
        for name in (other.date, other.until)
        if name is not None
    ]
    if not rows:
        return tables[source.table][date]
    last = pl.concat(rows).group_by(ID).agg(pl.col("_last").max())
    both = tables[source.table].join(last, on=ID, how="left", maintain_order="left")
    day = pl.when(pl.col(date).is_not_null()).then(pl.max_horizontal(date, "_last"))
    return both.select(day.alias(date)).to_series()


ORDER: Mapping[str, Callable[[Schema, EventLog, EventSource, Tables], pl.Series]] = {
    "align_to_origin": align_to_origin,
    "not_before_origin": not_before_origin,
    "end_after_rows": end_after_rows,
}


def apply(
    schema: Schema, tables: Tables, repaired: Counter[tuple[str, str, str]]
) -> dict[str, pl.DataFrame]:
    """The tables after the repairs that the declaration names at the dates of events and ends; adds
    to `repaired` (table, column, repair) the cells that changed.
    """
    tables, log = _once(schema, tables, repaired), schema.events
    if log is None:
        return tables
    for name, repair in ORDER.items():
        for source in (*log.rows, *log.ending):
            table, column = source.table, source.date
            if table not in tables or column is None:
                continue
            if name not in schema.tables[table].columns[column].repairs:
                continue
            values = repair(schema, log, source, tables)
            repaired[table, column, name] += int(values.ne_missing(tables[table][column]).sum())
            tables[table] = tables[table].with_columns(values.alias(column))
    return tables


def _origins(schema: Schema, log: EventLog, tables: Tables) -> pl.DataFrame:
    assert log.origin is not None, "without an origin no column is a date (source_checks.py)"
    rows = tables[patient_table(schema)]
    return rows.group_by(ID).agg(pl.col(log.origin).min().alias("_origin"))


AS_FIRST_ROW = "as in the patient's first row"


def _once(
    schema: Schema, tables: Tables, repaired: Counter[tuple[str, str, str]]
) -> dict[str, pl.DataFrame]:
    """What a table of events says once of a patient is what his or her first row by date says."""
    table = long_table(schema)
    if table is None:
        return dict(tables)
    rows = tables[table.name]
    own = rows.select(ID).join(
        first_rows(schema, rows).select(ID, *once_of(table)),
        on=ID,
        how="left",
        maintain_order="left",
    )
    for name in once_of(table):
        changed = int(own[name].ne_missing(rows[name]).sum())
        repaired.update({(table.name, name, AS_FIRST_ROW): changed} if changed else {})
    return {table.name: rows.with_columns(own.select(once_of(table)))}
