"""Layout `log`: one table of patients, one of dated rows that are their events (`events.rows`), and
an end (`events.ending`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from pipeline.adapters.carried import beside, restore
from pipeline.adapters.frames import (
    SourceLog,
    capped,
    complete_events,
    event_columns,
    in_declared_order,
    static_columns,
)
from pipeline.adapters.table import fresh, with_patient_id
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog, EventSource, Schema

Tables = Mapping[str, pl.DataFrame]
ROW = "_row"
STATIC = "static:"  # before the names of static columns where they stand beside events


def to_log(schema: Schema, tables: Tables) -> SourceLog:
    """Static columns come from the patients' table, or from a patient's first row of events. Rows
    outside the bounds or after the end are carried.
    """
    log, rows_of = _sources(schema)
    rows_by_table = {
        name: with_patient_id(frame, schema.tables[name]) for name, frame in tables.items()
    }
    people, dated = rows_by_table[_people(schema)], rows_by_table[rows_of.table].with_row_index(ROW)
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
    events_of_rows = _events(schema, dated, people, patients)
    patient_log = PatientLog(patients, events_of_rows.select(event_columns(log)))
    places = events_of_rows.filter(pl.col(ROW).is_not_null()).select(ROW, "seq")
    ends = events_of_rows.filter(pl.col("type").is_in(log.terminal)).select(ID, "seq")
    links = {
        rows_of.table: (
            dated.join(places, on=ROW, how="left", maintain_order="left").select(ID, "seq")
        ),
        _people(schema): people.select(ID).join(ends, on=ID, how="left", maintain_order="left"),
    }
    values = _log_values(schema)
    carried = {
        name: beside(
            rows_by_table[name].select(list(schema.tables[name].columns)),
            _context(links[name], patient_log),
            values[name],
            ["seq"],
        )
        for name in links
        if name in tables
    }
    return SourceLog(patient_log, carried)


def to_tables(
    schema: Schema, patient_log: PatientLog, *, carried: Tables | None, extract_date: date | None
) -> dict[str, pl.DataFrame]:
    """Rows of events carry the static columns that stand in their table. After `extract_date` there
    is none, and no end.
    """
    log, rows_of = _sources(schema)
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
        _people(schema): context.filter(is_end),
    }
    built = {}
    for name, values in _log_values(schema).items():
        rows = chosen[name].select(ID, *(value.alias(column) for column, value in values.items()))
        if (
            log.ending is not None
            and log.ending.table == name
            and log.ending.date in rows.columns
            and name == _people(schema)
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
    log, rows_of = _sources(schema)
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
    log, rows_of = _sources(schema)
    people = _people(schema)
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


def _sources(schema: Schema) -> tuple[EventLog, EventSource]:
    if schema.events is None or schema.events.rows is None:
        raise Refusal(
            f"{schema.dataset}: layout log needs events.rows, the table whose dated rows are"
            " events. Add it to the declaration."
        )
    return schema.events, schema.events.rows


def _people(schema: Schema) -> str:
    """The table of patients: the one that is not the rows'."""
    _, rows_of = _sources(schema)
    return next((name for name in schema.tables if name != rows_of.table), rows_of.table)


def _events(
    schema: Schema, dated: pl.DataFrame, people: pl.DataFrame, patients: pl.DataFrame
) -> pl.DataFrame:
    log, rows_of = _sources(schema)
    origin = patients.select(ID, pl.col(log.origin).alias("_origin"))
    ending = log.ending
    ends = (
        None
        if ending is None
        else _from(ending, people if ending.table == _people(schema) else dated, origin, log)
    )
    rows = _from(rows_of, dated, origin, log).filter(~pl.col("type").is_in(log.terminal))
    if ends is None:  # without a declared end, a pathway ends with its last row
        ends = (
            rows.group_by(ID)
            .agg(pl.col("day").max())
            .with_columns(
                pl.lit(log.terminal[0]).alias("type"), pl.lit(None, pl.String).alias("code")
            )
        )
    ends = (
        ends.filter(pl.col("type").is_in(log.terminal))
        .sort(ID, "day", maintain_order=True)
        .unique(ID, keep="last", maintain_order=True)
    )
    ends = ends.with_columns(
        pl.col("day").clip(log.lower_day, log.upper_day), pl.lit(None, pl.UInt32).alias(ROW)
    )
    rows = rows.filter(pl.col("day").is_between(log.lower_day, log.upper_day)).join(
        ends.select(ID, pl.col("day").alias("_last")), on=ID, maintain_order="left"
    )
    rows = rows.filter(pl.col("day") <= pl.col("_last"))
    events = in_declared_order(
        complete_events(pl.concat([rows, ends], how="diagonal_relaxed"), log), log
    )
    return capped(events, log)


def _from(
    source: EventSource, rows: pl.DataFrame, origin: pl.DataFrame, log: EventLog
) -> pl.DataFrame:
    kind = (
        pl.lit(source.constant, pl.String)
        if source.type is None
        else pl.col(source.type).cast(pl.String)
    )
    code = pl.lit(None, pl.String) if source.code is None else pl.col(source.code).cast(pl.String)
    row = pl.col(ROW) if ROW in rows.columns else pl.lit(None, pl.UInt32).alias(ROW)
    attributes = [name for name in log.attributes if name in rows.columns]
    events = rows.join(origin, on=ID, how="inner", maintain_order="left").select(
        ID,
        (pl.col(source.date) - pl.col("_origin")).dt.total_days().alias("day"),
        kind.alias("type"),
        code.alias("code"),
        row,
        *attributes,
    )
    events = events.filter(pl.col("day").is_not_null() & pl.col("type").is_in(list(log.types)))
    owners = {
        attribute: [
            name for name, event_type in log.types.items() if attribute in event_type.attributes
        ]
        for attribute in attributes
    }
    return events.with_columns(
        pl.when(pl.col("type").is_in(names)).then(pl.col(attribute)).alias(attribute)
        for attribute, names in owners.items()
    )
