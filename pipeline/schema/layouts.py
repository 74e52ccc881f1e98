"""Whether tables, static columns and events are what the layout makes a log of."""

from __future__ import annotations

from pipeline.schema.document import Path_
from pipeline.schema.fields import FieldReader
from pipeline.schema.repair_names import OF_PATIENTS
from pipeline.schema.values import Column, EventLog, EventSource, Schema


def check_layout(reader: FieldReader, schema: Schema) -> None:
    """Notes what the layout lacks, and what it has no use for."""
    if schema.layout == "table":
        _check_table(reader, schema)
    elif schema.events is None:
        reader.document.problem(
            ("layout",), f"a {schema.layout} has events: declare them, or make the layout table"
        )
    else:
        _check_patient_table(reader, schema)
        if schema.layout == "log":
            _check_log(reader, schema, schema.events)
    _check_patient_repairs(reader, schema)


def _check_table(reader: FieldReader, schema: Schema) -> None:
    if len(schema.tables) != 1:
        reader.document.problem(
            ("tables",),
            f"layout table has one table, here are {len(schema.tables)}; make the layout log or"
            " registry, or a declaration for each",
        )
    if schema.events is not None:
        reader.document.problem(
            ("events",), "layout table has none: make the layout log or registry, or drop them"
        )
    columns = {name for table in schema.tables.values() for name in table.columns}
    for name in schema.patients:
        if name not in columns:
            reader.document.problem(("patients", "columns", name), "is no column of the table")


def _check_patient_table(reader: FieldReader, schema: Schema) -> None:
    """As ingest looks for it (`owners.patient_table`)."""
    for name, table in schema.tables.items():
        if table.patient is None and table.through is None:
            reader.document.problem(
                ("tables", name),
                "does not say whose its rows are: add `patient: COLUMN`, or `through: [table,"
                " column]`",
            )
        if "seq" in table.columns:
            reader.document.problem(
                ("tables", name, "columns", "seq"),
                "is a name of our own: what is carried has its place in the log there. Name it"
                " otherwise, such as seq_in_source, with `header: seq`",
            )
    is_main = [t.patient is not None and t.key == (t.patient,) for t in schema.tables.values()]
    is_needed = len(schema.tables) > 1 or schema.layout == "log"
    if is_needed and not any(is_main):
        reader.document.problem(
            ("tables",),
            "no table has one row per patient: give that table `patient: COLUMN` and `key:"
            " [COLUMN]`; where there is none, write one from the rows, with the patients' ids",
        )


def _check_log(reader: FieldReader, schema: Schema, log: EventLog) -> None:
    path: Path_ = ("events",)
    if log.rows is None:
        reader.document.problem(
            path, "layout log finds events in a table's rows: add `rows: {table, date, type}`"
        )
        return
    if len(schema.tables) > 2:
        reader.document.problem(
            ("tables",), "layout log has a table of patients and one of dated rows, no third"
        )
    if log.ending is None:
        _check_no_ending(reader, log)
    tables = [name for name in schema.tables if name != log.rows.table]
    for field, source in (("rows", log.rows), ("ending", log.ending)):
        if source is not None:
            _check_source(reader, (*path, field), schema, source)
    columns = {name for table in schema.tables.values() for name in table.columns}
    for name in schema.patients:
        if name not in columns:
            reader.document.problem(
                ("patients", "columns", name), f"is no column of {', '.join(schema.tables)}"
            )
    rows = schema.tables.get(log.rows.table)
    found_in = set(rows.columns if rows is not None else ())
    if log.ending is not None and log.ending.table in tables:
        found_in |= set(schema.tables[log.ending.table].columns)
    for name, attribute in log.attributes.items():
        if name not in found_in and not attribute.nullable:
            reader.document.problem(
                (*path, "attributes", name),
                f"is no column of {log.rows.table}, and may not be missing: nobody could have it",
            )
        elif name not in found_in:
            reader.document.warn(
                (*path, "attributes", name),
                f"is no column of {log.rows.table}, so it is always missing",
            )


def _check_no_ending(reader: FieldReader, log: EventLog) -> None:
    end = log.terminal[0] if log.terminal else ""
    if not end or log.types[end].codes:
        reader.document.problem(
            ("events",),
            f"says nothing of the ends of pathways, and {end or 'an end'} needs a code: add"
            " `ending: {table, date, constant, code}`",
        )
    else:
        reader.document.warn(
            ("events",),
            f"says nothing of the ends of pathways: each ends ({end}) with its last row. Add"
            " `ending: {table, date, constant}` where the source knows better",
        )


def _check_source(reader: FieldReader, path: Path_, schema: Schema, source: EventSource) -> None:
    log = schema.events
    assert log is not None
    table = schema.tables.get(source.table)
    if table is None:
        reader.document.problem((*path, "table"), f"no table named {source.table!r}")
        return
    for field, name in (("date", source.date), ("type", source.type), ("code", source.code)):
        if name is not None and name not in table.columns:
            reader.document.problem((*path, field), f"{name!r} is no column of {source.table}")
            return
    if table.columns[source.date].kind != "date":
        reader.document.problem((*path, "date"), f"{source.date!r} must be of kind date")
    is_ending = path[-1] == "ending"
    legal = log.terminal if is_ending else tuple(log.types)
    if source.constant is not None and source.constant not in legal:
        kind = "terminal type" if is_ending else "type"
        reader.document.problem((*path, "constant"), f"{source.constant!r} is no {kind} of event")
    if source.type is not None:
        _check_types(reader, (*path, "type"), table.columns[source.type], legal)
    if source.code is not None and source.constant is not None and source.constant in log.types:
        _check_codes(
            reader, (*path, "code"), table.columns[source.code], log.types[source.constant].codes
        )


def _check_types(reader: FieldReader, path: Path_, column: Column, types: tuple[str, ...]) -> None:
    if not column.categories:
        return
    if not set(column.categories) & set(types):
        reader.document.problem(
            path, f"no value of {column.name} is a type of event: {', '.join(types)}"
        )
    elif others := [value for value in column.categories if value not in types]:
        reader.document.warn(
            path,
            f"rows whose {column.name} is {', '.join(others)} are no events, for no type is called"
            " so, and are left out",
        )


def _check_codes(reader: FieldReader, path: Path_, column: Column, codes: tuple[str, ...]) -> None:
    if not column.categories:
        return
    if others := [value for value in column.categories if value not in codes]:
        reader.document.problem(
            path,
            f"{', '.join(others)} of {column.name} is no code of this type: whoever has it would be"
            " dropped",
        )


def _check_patient_repairs(reader: FieldReader, schema: Schema) -> None:
    """Repairs of a patient's rows look at dated rows, one of them at the end."""
    log = schema.events
    for table in schema.tables.values():
        for column in table.columns.values():
            for name in set(column.repairs) & set(OF_PATIENTS):
                has_rows = log is not None and log.rows is not None
                has_end = log is not None and log.ending is not None
                if not has_rows or (name == "end_after_rows" and not has_end):
                    reader.document.problem(
                        ("tables", table.name, "columns", column.name, "repairs"),
                        f"{name} needs layout log with events.rows"
                        + (" and events.ending" if name == "end_after_rows" else ""),
                    )
