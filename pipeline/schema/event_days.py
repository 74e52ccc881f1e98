"""Which source holds the events of a type in a `log`, and which days it can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from pipeline.schema.column_values import Column, Table
from pipeline.schema.event_source import UNITS, DayScale, EventSource

DAY_ZERO = DayScale(lower=0, upper=0)


class KindOfEvent(Protocol):
    """What this module asks of values.EventType: the grammar stands on a low layer."""

    @property
    def terminal(self) -> bool: ...


class LogOfRows(Protocol):
    """What this module asks of values.EventLog."""

    @property
    def rows(self) -> tuple[EventSource, ...]: ...
    @property
    def ending(self) -> tuple[EventSource, ...]: ...
    @property
    def types(self) -> Mapping[str, KindOfEvent]: ...
    @property
    def lower_day(self) -> int: ...
    @property
    def upper_day(self) -> int: ...


class Declaration(Protocol):
    """What this module asks of values.Schema."""

    @property
    def tables(self) -> Mapping[str, Table]: ...
    @property
    def events(self) -> LogOfRows | None: ...


def people_table(schema: Declaration) -> str:
    """The table of a log with one row per patient: the one whose key is the patient's id, or else
    the first that holds no events.
    """
    rows = {source.table for source in schema.events.rows} if schema.events is not None else set()
    for name, table in schema.tables.items():
        if table.patient is not None and table.key == (table.patient,):
            return name
    return next((name for name in schema.tables if name not in rows), next(iter(schema.tables)))


def has_row_ends(log: LogOfRows) -> bool:
    """Whether the end of a pathway is one of the rows that are its events."""
    return any(
        (end.table, end.time, end.type, end.status)
        == (source.table, source.time, source.type, source.status)
        and (end.type or end.status) is not None
        for end in log.ending
        for source in log.rows
    )


def ends_are_rows(schema: Declaration, log: LogOfRows) -> bool:
    """Whether the end of a pathway is a row of its own, not a column of the patient's."""
    return any(end.table != people_table(schema) for end in log.ending)


def can_say(source: EventSource, table: Table, name: str) -> bool:
    """Whether rows of the source can be events of the type `name`."""
    if source.types is not None:
        return name in source.types
    column = table.columns.get(source.type or "")
    return column is not None and (not column.categories or name in column.categories)


def writer(schema: Declaration, sources: Sequence[EventSource], name: str) -> int | None:
    """The place of the first source that can hold events of this type; None: there is none."""
    return next(
        (
            place
            for place, source in enumerate(sources)
            if source.table in schema.tables and can_say(source, schema.tables[source.table], name)
        ),
        None,
    )


def tables_of(schema: Declaration, log: LogOfRows, kind: str) -> set[str]:
    """The tables in whose rows an event of this type is told."""
    sources = log.ending if log.types[kind].terminal else log.rows
    if log.types[kind].terminal and not sources:
        return {people_table(schema)}
    place = writer(schema, sources, kind)
    tables = {source.table for source in log.rows if source.closes == kind}
    return tables if place is None else tables | {sources[place].table}


def scale_of(column: Column, unit: str = "days") -> DayScale:
    """The days that a date, or a number of units since day 0, can say."""
    if column.kind == "date":
        return DayScale()
    scale = DayScale(UNITS[unit], column.decimals)
    steps = 10.0**column.decimals
    low, high = (
        None if value is None else int(scale.days(np.array([round(value * steps)]))[0])
        for value in (column.lower, column.upper)
    )
    return DayScale(
        UNITS[unit],
        column.decimals,
        lower=scale.lower if low is None else low,
        upper=scale.upper if high is None else high,
    )


def start_scale(schema: Declaration, source: EventSource) -> DayScale:
    """Of the events that the rows of a source begin with."""
    if source.time is None:
        return DAY_ZERO
    return scale_of(schema.tables[source.table].columns[source.time], source.unit)


def stop_scale(schema: Declaration, source: EventSource) -> DayScale:
    """Of the events that end the intervals of a source."""
    columns = schema.tables[source.table].columns
    if source.until is not None:
        return scale_of(columns[source.until], source.unit)
    assert source.duration is not None
    length = columns[source.duration]
    return DayScale(UNITS[source.unit], length.decimals, is_length=True)


def type_scales(schema: Declaration) -> Mapping[str, DayScale]:
    """Type -> the days that its events can have in the tables of a log; none for other layouts."""
    log = schema.events
    if log is None or not log.rows:
        return {}
    scales = {}
    for name, kind in log.types.items():
        sources = log.ending if kind.terminal else log.rows
        place = writer(schema, sources, name)
        if place is not None:
            scales[name] = start_scale(schema, sources[place])
    for source in log.rows:
        if source.closes is not None and source.closes not in scales:
            scales[source.closes] = stop_scale(schema, source)
    return scales


def day_bounds(schema: Declaration, log: LogOfRows) -> dict[str, tuple[int, int]]:
    """Type -> first and last day on which an event of it may stand: those of the log that the
    columns can say. The end of a pathway may stand up to the last day of the log.
    """
    scales, bounds = type_scales(schema), {}
    for name, kind in log.types.items():
        low, high = log.lower_day, log.upper_day
        if (scale := scales.get(name)) is not None and not scale.is_length:
            low, high = scale.within(low, high)
        bounds[name] = (min(low, log.upper_day), log.upper_day) if kind.terminal else (low, high)
    return bounds
