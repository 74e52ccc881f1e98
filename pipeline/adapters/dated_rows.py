"""Layout `log`: one table of patients, one of dated rows that are their events (`events.rows`), and
an end (`events.ending`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from pipeline.adapters import row_events
from pipeline.adapters.carried import beside, restore
from pipeline.adapters.frames import SourceLog, event_columns, static_columns
from pipeline.adapters.legal_events import mended
from pipeline.adapters.row_events import ROW, people_table, sources
from pipeline.adapters.table import fresh, with_patient_id
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog, Schema

Tables = Mapping[str, pl.DataFrame]
STATIC = "static:"  # before the names of static columns where they stand beside events


def to_log(schema: Schema, tables: Tables) -> SourceLog:
    """Static columns come from the patients' table, or from a patient's first row of events. Rows
    outside the bounds or after the end are carried.
    """
    log, rows_of = sources(schema)
    rows_by_table = {
        name: with_patient_id(frame, schema.tables[name]) for name, frame in tables.items()
    }
    people, dated = (
        rows_by_table[people_table(schema)],
        rows_by_table[rows_of.table].with_row_index(ROW),
    )
    late = [name for name in schema.patients if name not in people.columns]
    by_first = (
        dated.sort(ID, rows_of.date, ROW)
        .unique(ID, keep="first", maintain_order=True)
        .select(ID, *late)
    )
    patients = static_columns(
        schema,
        people.join(by_first, on=ID, how="left", maintain_order="left").filter(
            pl.col(log.origin).is_not_null()
        ),
    )
    placed = row_events.read(schema, dated, people, patients)
    legal = mended(schema, patients, placed.events)
    patients, events_of_rows = legal.patients, legal.events
    patient_log = PatientLog(patients, events_of_rows.select(event_columns(log)))
    places = events_of_rows.filter(pl.col(ROW).is_not_null()).select(ROW, "seq")
    ends = events_of_rows.filter(pl.col("type").is_in(log.terminal)).select(ID, "seq")
    links = {
        rows_of.table: (
            dated.join(places, on=ROW, how="left", maintain_order="left").select(ID, "seq")
        ),
        people_table(schema): people.select(ID).join(
            ends, on=ID, how="left", maintain_order="left"
        ),
    }
    carried = _carried(schema, {n: rows_by_table[n] for n in tables}, links, patient_log)
    left_out = pl.concat([placed.left_out, legal.left_out])
    return SourceLog(patient_log, carried, left_out, pl.concat([placed.moved, legal.moved]))


def _carried(
    schema: Schema, tables: Tables, links: Tables, log: PatientLog
) -> dict[str, pl.DataFrame]:
    """What each table holds beside the log; links: the events of its rows."""
    values = _log_values(schema)
    return {
        name: beside(
            tables[name].select(list(schema.tables[name].columns)),
            _context(links[name], log),
            values[name],
            ["seq"],
        )
        for name in links
        if name in tables
    }


def to_tables(
    schema: Schema, patient_log: PatientLog, *, carried: Tables | None, extract_date: date | None
) -> dict[str, pl.DataFrame]:
    """Rows of events carry the static columns that stand in their table. After `extract_date` there
    is none, and no end.
    """
    log, rows_of = sources(schema)
    if carried is not None:
        return {
            name: restore(
                rows,
                _context(rows.select(ID, "seq"), patient_log),
                _log_values(schema)[name],
                ["seq"],
            )
            for name, rows in carried.items()
        }
    context = _context(patient_log.pathways.select(ID, "seq"), patient_log)
    observed = pl.lit(extract_date, pl.Date)
    is_end = pl.col("type").is_in(log.terminal)
    in_time = (_date(log) <= observed).fill_null(True)
    chosen = {
        rows_of.table: context.filter(~is_end & in_time),
        people_table(schema): context.filter(is_end),
    }
    built = {}
    for name, values in _log_values(schema).items():
        rows = chosen[name].select(ID, *(value.alias(column) for column, value in values.items()))
        if (
            log.ending is not None
            and log.ending.table == name
            and log.ending.date in rows.columns
            and name == people_table(schema)
        ):
            rows = rows.with_columns(
                pl.min_horizontal(log.ending.date, observed).alias(log.ending.date)
            )
        built[name] = fresh(rows, schema.tables[name])
    return built


def within_dates(schema: Schema, patient_log: PatientLog) -> PatientLog:
    """Without the events after the last date that the declaration knows for them; the end of a
    pathway stands there at the latest.
    """
    log, rows_of = sources(schema)
    last_row = schema.tables[rows_of.table].columns[rows_of.date].upper
    last_end = (
        schema.tables[log.ending.table].columns[log.ending.date].upper
        if log.ending is not None
        else last_row
    )
    if last_row is None or last_end is None:
        return patient_log
    origin = patient_log.patients.select(ID, _origin=pl.col(log.origin).to_physical())
    placed = patient_log.pathways.join(origin, on=ID, how="left", maintain_order="left")
    is_end = pl.col("type").is_in(log.terminal)
    last_day = pl.when(is_end).then(int(last_end)).otherwise(int(min(last_row, last_end))) - pl.col(
        "_origin"
    )
    events = placed.filter(is_end | (pl.col("day") <= last_day)).with_columns(
        day=pl.min_horizontal("day", last_day).cast(pl.Int32)
    )
    numbered = events.with_columns(seq=pl.int_range(pl.len(), dtype=pl.Int32).over(ID))
    return PatientLog(patient_log.patients, numbered.select(patient_log.pathways.columns))


def _log_values(schema: Schema) -> dict[str, dict[str, pl.Expr]]:
    """For each table, the columns whose values stand in patients and events."""
    log, rows_of = sources(schema)
    people = people_table(schema)
    values: dict[str, dict[str, pl.Expr]] = {
        name: {
            column: pl.col(f"{STATIC}{column}")
            for column in table.columns
            if column in schema.patients
        }
        for name, table in schema.tables.items()
        if name in (rows_of.table, people)
    }
    values[rows_of.table] |= {
        name: pl.col(name)
        for name in log.attributes
        if name in schema.tables[rows_of.table].columns
    }
    for source in (rows_of, log.ending):
        if source is not None and (source is rows_of or source.table == people):
            named = {
                source.date: _date(log),
                source.type: pl.col("type"),
                source.code: pl.col("code"),
            }
            values[source.table] |= {
                column: value for column, value in named.items() if column is not None
            }
    return values


def _context(links: pl.DataFrame, patient_log: PatientLog) -> pl.DataFrame:
    names = {name: f"{STATIC}{name}" for name in patient_log.patients.columns if name != ID}
    statics = patient_log.patients.rename(names)
    return links.join(statics, on=ID, how="left", maintain_order="left").join(
        patient_log.pathways, on=[ID, "seq"], how="left", maintain_order="left"
    )


def _date(log: EventLog) -> pl.Expr:
    return (pl.col(f"{STATIC}{log.origin}").cast(pl.Int32) + pl.col("day")).cast(pl.Date)
