"""What the cells of a log's tables say of patients and events: column -> expression over a row's
context (`context`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from pipeline.adapters.row_slots import SEQ, slot, slots, stop_slot
from pipeline.adapters.row_times import date_of, number_of
from pipeline.schema.column_values import Column, Table
from pipeline.schema.event_days import can_say, people_table, writer
from pipeline.schema.event_source import EventSource
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog, Schema

STATIC = "static:"  # before the names of static columns where they stand beside events
Values = dict[str, pl.Expr]


def context(schema: Schema, table: str, links: pl.DataFrame, log: PatientLog) -> pl.DataFrame:
    """`links` (patient_id, and by place the number of the event) with the static columns and the
    values of each event, row by row in the same order.
    """
    names = {name: f"{STATIC}{name}" for name in log.patients.columns if name != ID}
    rows = links.join(log.patients.rename(names), on=ID, how="left", maintain_order="left")
    for place in slots(schema, table):
        events = log.pathways.rename(
            {name: _of(place, name) for name in log.pathways.columns if name not in (ID, "seq")}
        ).rename({"seq": place})
        rows = rows.join(events, on=[ID, place], how="left", maintain_order="left")
    return rows


def table_values(schema: Schema, table: str) -> Mapping[str, pl.Expr]:
    """The columns of a table that patients and events tell."""
    log = schema.events
    assert log is not None
    columns = schema.tables[table].columns
    values: Values = {n: pl.col(f"{STATIC}{n}") for n in columns if n in schema.patients}
    parts = [
        _source_values(schema, log, place)
        for place, source in enumerate(log.rows)
        if source.table == table
    ]
    if any(end.table == table for end in log.ending):
        parts.append(_end_values(schema, log, table))
    for name in dict.fromkeys(name for part in parts for name in part):
        cells = [part[name] for part in parts if name in part]
        values[name] = cells[0] if len(cells) == 1 else pl.coalesce(cells)
    return values


def _of(place: str, name: str) -> str:
    return f"{place}|{name}"


def _source_values(schema: Schema, log: EventLog, place: int) -> Values:
    source, at = log.rows[place], slot(place)
    table = schema.tables[source.table]
    types = [
        name
        for name, kind in log.types.items()
        if not kind.terminal and writer(schema, log.rows, name) == place
    ]
    values = _attributes(log, table, types, at)
    if source.closes is not None:
        values |= _attributes(log, table, [source.closes], stop_slot(at))
    if source.type is not None:
        values[source.type] = pl.col(_of(at, "type"))
    if source.status is not None:
        values[source.status] = _status(source, at)
    if source.code is not None:
        values[source.code] = pl.col(_of(at, "code"))
    if source.time is not None:
        values[source.time] = _time(schema, log, source, source.time, at)
    if source.until is not None:
        values[source.until] = _time(schema, log, source, source.until, stop_slot(at))
    if source.duration is not None:
        length = pl.col(_of(stop_slot(at), "day")) - pl.col(_of(at, "day"))
        column = table.columns[source.duration]
        values[source.duration] = number_of(length, source.unit, column)
    if source.table == people_table(schema):
        _fill_what_was_not(schema, log, source, values)
    return values


def _fill_what_was_not(schema: Schema, log: EventLog, source: EventSource, values: Values) -> None:
    """A patient without the event: a status says so, and a time that may not be missing is that of
    the end.
    """
    columns = schema.tables[source.table].columns
    if source.status is not None and not columns[source.status].nullable:
        others = [v for v in columns[source.status].categories if v not in (source.codes or {})]
        values[source.status] = values[source.status].fill_null(pl.lit(next(iter(others), None)))
    if source.time is not None and not columns[source.time].nullable:
        end = _time(schema, log, source, source.time, SEQ)
        values[source.time] = values[source.time].fill_null(end)


def _attributes(log: EventLog, table: Table, types: Iterable[str], place: str) -> Values:
    names = dict.fromkeys(name for kind in types for name in log.types[kind].attributes)
    return {name: pl.col(_of(place, name)) for name in names if name in table.columns}


def _time(schema: Schema, log: EventLog, source: EventSource, name: str, place: str) -> pl.Expr:
    column: Column = schema.tables[source.table].columns[name]
    day = pl.col(_of(place, "day"))
    if column.kind == "date":
        return date_of(log, day, pl.col(f"{STATIC}{log.origin}"))
    return number_of(day, source.unit, column)


def _status(source: EventSource, place: str) -> pl.Expr:
    """The first value that means the type."""
    values = {name: value for value, name in reversed(list((source.codes or {}).items()))}
    kind = pl.col(_of(place, "type"))
    return kind.replace_strict(values, default=None, return_dtype=pl.String)


def _end_values(schema: Schema, log: EventLog, table: str) -> Values:
    """The columns of the ends: those of the source that says this end, and what the others cannot
    leave empty. A status is told wherever it has a value for the end.
    """
    kind, columns = pl.col(_of(SEQ, "type")), schema.tables[table].columns
    by_column: dict[str, list[pl.Expr]] = {}
    types = [name for name in log.terminal if _is_end_of(schema, log, table, name)]
    for place, source in enumerate(log.ending):
        if source.table != table:
            continue
        is_own = kind.is_in([n for n in log.terminal if writer(schema, log.ending, n) == place])
        cells = {
            source.time: _time(schema, log, source, source.time or "", SEQ),
            source.type: kind,
            source.code: pl.col(_of(SEQ, "code")),
        }
        for name, value in cells.items():
            if name is None:
                continue
            is_free = name == source.time and not columns[name].nullable
            by_column.setdefault(name, []).append(value if is_free else pl.when(is_own).then(value))
        if source.status is not None:
            by_column.setdefault(source.status, []).append(_status(source, SEQ))
    values = {name: pl.coalesce(cells) for name, cells in by_column.items()}
    return _attributes(log, schema.tables[table], types, SEQ) | values


def _is_end_of(schema: Schema, log: EventLog, table: str, name: str) -> bool:
    return any(
        end.table == table and can_say(end, schema.tables[table], name) for end in log.ending
    )
