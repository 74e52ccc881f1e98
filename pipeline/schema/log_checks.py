"""Whether the sources of a log, taken together, hold every event that the log knows."""

from __future__ import annotations

from collections import Counter

from pipeline.schema.document import Path_
from pipeline.schema.event_days import (
    has_row_ends,
    people_table,
    tables_of,
    type_scales,
    writer,
)
from pipeline.schema.fields import FieldReader
from pipeline.schema.source_checks import SourceCheck
from pipeline.schema.source_reader import source_path
from pipeline.schema.values import EventLog, Schema

_PATH: Path_ = ("events",)


def check_log(reader: FieldReader, schema: Schema, log: EventLog) -> None:
    """Notes what a declaration of layout log lacks, and what contradicts itself."""
    if not log.rows:
        reader.document.problem(
            _PATH, "layout log finds events in a table's rows: add `rows: {table, date, type}`"
        )
        return
    checks = [
        SourceCheck(reader, source_path(reader, field, place), schema, log, source, is_ending)
        for field, is_ending in (("rows", False), ("ending", True))
        for place, source in enumerate(log.ending if is_ending else log.rows)
    ]
    sound = [check.run() for check in checks]
    if not all(sound):
        return
    _check_attributes(reader, schema, log)
    _check_tables(reader, schema, log)
    _check_columns(reader, schema, log)
    _check_endings(reader, schema, log)
    _check_writers(reader, schema, log)
    _check_scales(reader, schema, log)


def _check_tables(reader: FieldReader, schema: Schema, log: EventLog) -> None:
    people = people_table(schema)
    if schema.tables[people].key != (schema.tables[people].patient,):
        reader.document.problem(
            ("tables",),
            "layout log has a table with one row per patient: give it `patient: COLUMN` and `key:"
            " [COLUMN]`",
        )
    named = {people, *(source.table for source in (*log.rows, *log.ending))}
    for name, table in schema.tables.items():
        if table.through is not None:
            reader.document.problem(
                ("tables", name, "through"),
                "is for a registry: in layout log each table says `patient: COLUMN`",
            )
        if name not in named:
            reader.document.problem(
                ("tables", name),
                "holds no events and is not the patients': name it in events.rows, or drop it",
            )
    uses = Counter(source.table for source in log.rows)
    for name, n in uses.items():
        if n > 1 and name != people:
            reader.document.problem(
                (*_PATH, "rows"), f"{name} is named {n} times: a row of it is one event"
            )
    columns = {name for table in schema.tables.values() for name in table.columns}
    for name in schema.patients:
        if name not in columns:
            reader.document.problem(
                ("patients", "columns", name), f"is no column of {', '.join(schema.tables)}"
            )


def _check_columns(reader: FieldReader, schema: Schema, log: EventLog) -> None:
    """A column that an extract has is told by a patient or an event."""
    for name, table in schema.tables.items():
        names = {*schema.patients, *log.attributes, table.patient}
        for source in (*log.rows, *log.ending):
            if source.table == name:
                names |= {*(source.time, source.stop, source.type, source.status, source.code)}
        for column in table.columns.values():
            if column.name in names or not column.is_modelled:
                continue
            path = ("tables", name, "columns", column.name)
            message = (
                "is neither a static column nor an attribute, and no source of events names it:"
            )
            if column.nullable:
                reader.document.warn(path, f"{message} it is empty in extracts")
            else:
                reader.document.problem(
                    path, f"{message} name it there, or carry it (`role: carried`)"
                )


def _check_attributes(reader: FieldReader, schema: Schema, log: EventLog) -> None:
    """An attribute is a column of the table whose rows tell the event; of a patient's row only one
    event can have it.
    """
    people, holders = people_table(schema), Counter[str]()
    for kind in log.types.values():
        tables = tables_of(schema, log, kind.name)
        for name in kind.attributes:
            if name not in log.attributes or not tables:
                continue
            has = [table for table in tables if name in schema.tables[table].columns]
            holders[name] += people in has and not kind.terminal
            where = f"is no column of {', '.join(sorted(tables))}, whose rows are {kind.name}"
            if not has and not log.attributes[name].nullable:
                reader.document.problem(
                    (*_PATH, "attributes", name),
                    f"{where}, and may not be missing: nobody could have it",
                )
            elif not has:
                reader.document.warn(
                    (*_PATH, "attributes", name), f"{where}, so it is always missing there"
                )
    for name in (name for name, n in holders.items() if n > 1):
        reader.document.problem(
            (*_PATH, "attributes", name),
            f"is one column of {people}, but an attribute of several types of its events",
        )


def _check_endings(reader: FieldReader, schema: Schema, log: EventLog) -> None:
    if not log.ending:
        _check_no_ending(reader, log)
        return
    people, rows = people_table(schema), {source.table for source in log.rows}
    for place, source in enumerate(log.ending):
        path = source_path(reader, "ending", place)
        if source.table != people and len(log.ending) > 1:
            reader.document.problem(
                path, f"of several ends each is a column of {people}: which counts is then certain"
            )
        elif source.table in rows - {people} and not has_row_ends(log):
            reader.document.problem(
                path,
                f"an end among the rows of {source.table} is told as its events are, by the same"
                " time and `type` or `status`; leave `ending` out where a pathway ends with its"
                " last row",
            )
        columns = schema.tables[source.table].columns
        if place < len(log.ending) - 1 and not any(
            columns[name].nullable for name in (source.time, source.status) if name is not None
        ):
            reader.document.problem(
                path,
                f"{source.time} may not be missing, so the ends after this one are never read: put"
                " it last, or declare it nullable",
            )
        for field, name in (("type", source.type), ("code", source.code)):
            others = [end for end in log.ending if name not in (end.type, end.code)]
            if name is not None and others and not columns[name].nullable:
                reader.document.problem(
                    (*path, field), f"{name} must be nullable: other ends do not have it"
                )


def _check_no_ending(reader: FieldReader, log: EventLog) -> None:
    end = log.terminal[0] if log.terminal else ""
    if not end or log.types[end].codes:
        reader.document.problem(
            _PATH,
            f"says nothing of the ends of pathways, and {end or 'an end'} needs a code: add"
            " `ending: {table, date, constant, code}`",
        )
    else:
        reader.document.warn(
            _PATH,
            f"says nothing of the ends of pathways: each ends ({end}) with its last row. Add"
            " `ending: {table, date, constant}` where the source knows better",
        )


def _check_writers(reader: FieldReader, schema: Schema, log: EventLog) -> None:
    """Whatever may stand in a pathway has a place in the tables: a model may draw it."""
    stops = {source.closes for source in log.rows}
    for name, kind in log.types.items():
        path = (*_PATH, "types", name)
        if kind.terminal and log.ending and writer(schema, log.ending, name) is None:
            reader.document.problem(
                path, "no source of events.ending can say that a pathway ends so"
            )
        elif kind.terminal and not log.ending and name != log.terminal[0]:
            reader.document.problem(
                path, "is never read: without events.ending all end as the first"
            )
        elif not kind.terminal and writer(schema, log.rows, name) is None and name not in stops:
            reader.document.problem(path, "no source of events.rows has rows that are such events")
    columns = schema.tables[people_table(schema)].columns
    for place, source in enumerate(log.ending):
        if source.status is None or source.table != people_table(schema):
            continue
        lacking = [name for name in log.terminal if name not in (source.codes or {}).values()]
        if lacking and not columns[source.status].nullable:
            reader.document.problem(
                (*source_path(reader, "ending", place), "codes"),
                f"say nothing of {', '.join(lacking)}, and {source.status} may not be missing: name"
                " every end",
            )


def _check_scales(reader: FieldReader, schema: Schema, log: EventLog) -> None:
    """What a rule ties to a day can stand on every day of the log."""
    scales = type_scales(schema)
    if (scale_of_anchor := scales.get(log.anchor or "")) is not None:
        lower, upper = scale_of_anchor.lower, scale_of_anchor.upper
        if scale_of_anchor.is_length or not lower <= 0 <= upper:
            reader.document.problem(
                (*_PATH, "anchor"), f"{log.anchor} stands on day 0, which its column cannot say"
            )
    due = {deadline.event for deadline in log.deadlines}
    coarse = [name for name, scale in scales.items() if scale.is_coarse]
    for field, rules in (("deadlines", log.deadlines), ("windows", log.windows)):
        if rules and coarse:
            reader.document.problem(
                (*_PATH, field),
                f"count days, but the times of {', '.join(coarse)} are whole steps of more than a"
                " day, and move what follows them: give their columns decimals, or drop the rules",
            )
    for name, scale in scales.items():
        if name in due and not scale.is_length:
            first, last = scale.within(log.lower_day, log.upper_day)
            # an end comes after the anchor
            needed = 0 if log.types[name].terminal and log.anchor else log.lower_day
            if first > needed or last < log.upper_day:
                reader.document.problem(
                    (*_PATH, "deadlines"),
                    f"{name} must be possible on every day from lower_day to upper_day, its column"
                    f" says {first} to {last}",
                )
        if log.types[name].until is not None and (log.origin is None or coarse):
            reader.document.problem(
                (*_PATH, "types", name, "until"),
                "is a date, and the times of this type are none: drop it",
            )
