"""A log of one table without a table of its patients: the columns that it names under `once` say
the same in every row of a patient, and make the patients' table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pipeline.schema.column_values import Table
from pipeline.schema.event_source import EventSource
from pipeline.schema.values import Schema, freeze


def long_table(schema: Schema) -> Table | None:
    """The only table of a log, where it makes the patients' table; None for all other schemas."""
    if schema.layout != "log" or len(schema.tables) != 1:
        return None
    [table] = schema.tables.values()
    return table if table.once is not None and table.patient is not None else None


def once_of(table: Table) -> tuple[str, ...]:
    """The columns that say the same in every row of a patient."""
    return table.once or ()


def people_name(table: Table) -> str:
    """What the patients' table is called: no declared name holds a blank (names.py)."""
    return f"patients of {table.name}"


def with_people(schema: Schema) -> Schema:
    """The same log in two tables, the patients' with the columns `once` and the events' with the
    others; sources of events and ends that name the first stand in the patients' table. As it is
    where the schema has no such table.
    """
    table = long_table(schema)
    if table is None or table.patient is None:
        return schema
    once = once_of(table)
    people = Table(
        name=people_name(table),
        file=table.file,
        patient=table.patient,
        key=(table.patient,),
        columns=freeze(
            {n: one for n, one in table.columns.items() if n == table.patient or n in once}
        ),
    )
    rows = replace(
        table,
        once=None,
        key=tuple(name for name in table.key if name not in once),
        columns=freeze({n: one for n, one in table.columns.items() if n not in once}),
    )
    events = schema.events
    if events is not None:
        events = replace(
            events,
            rows=tuple(_placed(events.rows, table)),
            ending=tuple(_placed(events.ending, table)),
        )
    return replace(schema, tables=freeze({people.name: people, rows.name: rows}), events=events)


def _placed(sources: Iterable[EventSource], table: Table) -> Iterable[EventSource]:
    for source in sources:
        is_once = source.time in once_of(table) and source.table == table.name
        yield replace(source, table=people_name(table)) if is_once else source


def row_time(schema: Schema) -> str | None:
    """The column that says when the rows of the table are; None: they are undated."""
    table = long_table(schema)
    assert table is not None and schema.events is not None
    times = (source.time for source in schema.events.rows if source.table == table.name)
    return next((name for name in times if name and name not in once_of(table)), None)
