"""Whether tables, static columns and events are what the layout makes a log of."""

from __future__ import annotations

from pipeline.schema.event_days import writer
from pipeline.schema.fields import FieldReader
from pipeline.schema.log_checks import check_log
from pipeline.schema.long_table import long_table, once_of, with_people
from pipeline.schema.repair_names import OF_PATIENTS
from pipeline.schema.values import EventLog, Schema


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
        _check_once(reader, schema, schema.events)
        if schema.layout == "log":
            check_log(reader, with_people(schema), with_people(schema).events or schema.events)
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
    if is_needed and not any(is_main) and long_table(schema) is None:
        reader.document.problem(
            ("tables",),
            "no table has one row per patient: give that table `patient: COLUMN` and `key:"
            " [COLUMN]`. A log of one table may name the columns that say the same in every row of"
            " a patient, `once: [COLUMN, ...]`; where there are several, write a table from their"
            " rows, with the patients' ids",
        )


def _check_once(reader: FieldReader, schema: Schema, log: EventLog) -> None:
    """A patients' table that is made from rows: each patient has one of these rows at least."""
    table = long_table(schema)
    for name in (
        name for name, one in schema.tables.items() if one.once is not None and one is not table
    ):
        reader.document.problem(
            ("tables", name, "once"),
            "is for a log of one table, with `patient: COLUMN`; others have a table of patients",
        )
    if table is None:
        return
    if table.patient in once_of(table) or table.key == (table.patient,):
        reader.document.problem(
            ("tables", table.name, "once"),
            f"names columns that say the same in several rows of {table.patient}, which is no"
            " column of these and no key of its own",
        )
    sources = [source for source in log.rows if source.time not in once_of(table)]
    elsewhere = [name for name in log.first if writer(schema, sources, name) is None]
    if not log.first or elsewhere:
        reader.document.problem(
            ("events", "first"),
            f"names the types that open a pathway, each of them rows of {table.name}: a patient"
            " without a row would have no place in it",
        )


def _check_patient_repairs(reader: FieldReader, schema: Schema) -> None:
    """Repairs of a patient's rows stand at the dates of events, one of them at those of ends."""
    log = schema.events
    places: dict[str, set[tuple[str, str | None]]] = {
        name: {(source.table, source.date) for source in sources}
        for name, sources in (
            ("rows", log.rows if log is not None else ()),
            ("ending", log.ending if log is not None else ()),
        )
    }
    for table in schema.tables.values():
        for column in table.columns.values():
            for name in set(column.repairs) & set(OF_PATIENTS):
                field = "ending" if name == "end_after_rows" else "rows"
                if (table.name, column.name) not in places[field]:
                    reader.document.problem(
                        ("tables", table.name, "columns", column.name, "repairs"),
                        f"{name} needs layout log, at a column that is the `date` of"
                        f" events.{field}",
                    )
