"""Layout `log`: a table with one row per patient, tables whose rows are events (`events.rows`), and
an end (`events.ending`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

import polars as pl

from pipeline.adapters import row_events
from pipeline.adapters.carried import beside, restore
from pipeline.adapters.frames import SourceLog, event_columns, static_columns
from pipeline.adapters.legal_events import mended
from pipeline.adapters.row_events import log_of
from pipeline.adapters.row_slots import SEQ, SOURCE, drawn_slots, slots
from pipeline.adapters.row_times import ROW
from pipeline.adapters.row_values import context, table_values
from pipeline.adapters.table import fresh, with_patient_id
from pipeline.schema.event_days import people_table
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Column, EventLog, Schema

Tables = Mapping[str, pl.DataFrame]


def to_log(schema: Schema, tables: Tables) -> SourceLog:
    """Static columns come from the patients' table, or from a patient's first row of events. Rows
    outside the bounds or after the end are carried.
    """
    log = log_of(schema)
    rows_by_table = {
        name: with_patient_id(tables[name], table).with_row_index(ROW)
        if name in tables
        else _no_rows(schema, name, tables)
        for name, table in schema.tables.items()
    }
    patients = _patients(schema, log, rows_by_table)
    placed = row_events.read(schema, rows_by_table, patients)
    legal = mended(schema, patients, placed.events)
    patient_log = PatientLog(legal.patients, legal.events.select(event_columns(log)))
    carried = {
        name: beside(
            rows_by_table[name].select(list(schema.tables[name].columns)),
            context(schema, name, links, patient_log),
            table_values(schema, name),
            slots(schema, name),
        )
        for name in tables
        for links in [_links(schema, log, name, rows_by_table[name], legal.events)]
    }
    left_out = pl.concat([placed.left_out, legal.left_out])
    return SourceLog(patient_log, carried, left_out, pl.concat([placed.moved, legal.moved]))


def _no_rows(schema: Schema, name: str, tables: Tables) -> pl.DataFrame:
    """A table that the source lacks, as one without rows."""
    people = with_patient_id(tables[people_table(schema)], schema.tables[people_table(schema)])
    nothing = fresh(people.clear(), schema.tables[name])
    return nothing.with_columns(people.clear()[ID]).with_row_index(ROW)


def _patients(schema: Schema, log: EventLog, tables: Tables) -> pl.DataFrame:
    """The static columns of those who have a day 0."""
    people = tables[people_table(schema)].drop(ROW)
    for source in log.rows:
        rows = tables[source.table]
        late = [n for n in schema.patients if n not in people.columns and n in rows.columns]
        if not late:
            continue
        order = [source.time] if source.time is not None else []
        first = rows.sort(ID, *order, ROW).unique(ID, keep="first", maintain_order=True)
        people = people.join(first.select(ID, *late), on=ID, how="left", maintain_order="left")
    if log.origin is not None:
        people = people.filter(pl.col(log.origin).is_not_null())
    return static_columns(schema, people)


def _links(
    schema: Schema, log: EventLog, table: str, rows: pl.DataFrame, events: pl.DataFrame
) -> pl.DataFrame:
    """Row by row the numbers of its events."""
    links = rows.select(ID, ROW)
    for place in slots(schema, table):
        if place == SEQ and table != people_table(schema):
            links = links.with_columns(pl.lit(None, pl.Int32).alias(SEQ))
            continue
        if place == SEQ:
            numbers = events.filter(pl.col("type").is_in(log.terminal)).select(ID, SEQ)
            keys = [ID]
        else:
            numbers = events.filter(pl.col(SOURCE) == place).select(ROW, pl.col(SEQ).alias(place))
            keys = [ROW]
        links = links.join(numbers, on=keys, how="left", maintain_order="left")
    return links.drop(ROW)


def to_tables(
    schema: Schema, patient_log: PatientLog, *, carried: Tables | None, extract_date: date | None
) -> dict[str, pl.DataFrame]:
    """Rows of events carry the static columns that stand in their table. After `extract_date` there
    is none, and no end; without dates in the log it says nothing.
    """
    log = log_of(schema)
    if carried is not None:
        return {
            name: restore(
                rows,
                context(schema, name, rows.select(ID, *slots(schema, name)), patient_log),
                table_values(schema, name),
                slots(schema, name),
            )
            for name, rows in carried.items()
        }
    if extract_date is not None and log.origin is not None:
        patient_log = _observed(log, patient_log, extract_date)
    links = drawn_slots(schema, patient_log.patients, patient_log.pathways)
    built = {}
    for name, table in schema.tables.items():
        values = table_values(schema, name)
        rows = context(schema, name, links[name], patient_log).select(
            ID, *(value.alias(column) for column, value in values.items())
        )
        keys = [one for one in table.columns.values() if one.name not in (table.patient, *values)]
        built[name] = fresh(rows.with_columns(_keys(log, keys)), table)
    return built


def _keys(log: EventLog, columns: Iterable[Column]) -> list[pl.Expr]:
    """Fresh keys of rows: the patient's number and that of the row among his or hers."""
    nth = pl.int_range(1, pl.len() + 1).over(ID)
    room = 10 ** len(str(log.max_events))
    return [
        (
            pl.col(ID).cast(pl.Int64) * room + nth if one.integer else pl.format("{}-{}", ID, nth)
        ).alias(one.name)
        for one in columns
        if one.role == "key" and one.kind == "id"
    ]


def _observed(log: EventLog, patient_log: PatientLog, extract_date: date) -> PatientLog:
    """What has happened by the extract date; whoever's pathway is not over then ends on it."""
    assert log.origin is not None
    last = patient_log.patients.select(
        ID, _last=(pl.lit(extract_date, pl.Date) - pl.col(log.origin)).dt.total_days()
    )
    is_end = pl.col("type").is_in(log.terminal)
    events = (
        patient_log.pathways.join(last, on=ID, how="left", maintain_order="left")
        .filter(is_end | (pl.col("day") <= pl.col("_last")))
        .with_columns(day=pl.min_horizontal("day", "_last").cast(pl.Int32))
    )
    return PatientLog(patient_log.patients, events.drop("_last"))
