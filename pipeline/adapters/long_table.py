"""Layout `log` of one table: its rows as a table of patients and a table of events, as
`dated_rows` reads them, and back.

What is known once is taken from a patient's first row by date. Rows that say otherwise are carried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import polars as pl

from pipeline.adapters import dated_rows
from pipeline.adapters.carried import beside, restore
from pipeline.adapters.frames import SourceLog
from pipeline.adapters.table import with_patient_id
from pipeline.schema.column_values import Table
from pipeline.schema.long_table import long_table, once_of, people_name, row_time, with_people
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

Tables = Mapping[str, pl.DataFrame]
_OWN = "once:"  # before a patient's value; no declared name holds a colon (schema/names.py)


def in_two(schema: Schema, tables: Tables) -> dict[str, pl.DataFrame]:
    """The tables of `with_people(schema)`: of one long table the patients' and the events'; others
    as they are.
    """
    table = long_table(schema)
    if table is None:
        return dict(tables)
    rows = tables[table.name]
    people = first_rows(schema, with_patient_id(rows, table)).select(
        table.patient or "", *once_of(table)
    )
    return {people_name(table): people, table.name: rows.drop(once_of(table))}


def first_rows(schema: Schema, rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with patient_id: of each patient the first by date; a row without one comes last, and
    of equal dates the one that stands first.
    """
    time = row_time(schema)
    ordered = rows if time is None else rows.sort(time, nulls_last=True, maintain_order=True)
    return ordered.unique(ID, keep="first", maintain_order=True).sort(ID)


def to_log(schema: Schema, tables: Tables) -> SourceLog:
    table = long_table(schema)
    if table is None:
        return dated_rows.to_log(schema, tables)
    both, rows = in_two(schema, tables), tables[table.name]
    source = dated_rows.to_log(with_people(schema), both)
    others = beside(
        rows.select(once_of(table)),
        _beside_own(rows, both[people_name(table)], table),
        _own_values(table),
        [],
    )
    carried = dict(source.carried)
    carried[table.name] = carried[table.name].hstack(others.drop(ID))
    return replace(source, carried=carried)


def to_tables(
    schema: Schema, patient_log: PatientLog, *, carried: Tables | None, extract_date: date | None
) -> dict[str, pl.DataFrame]:
    """A patient whose pathway has no rows keeps one that says what is known once."""
    table = long_table(schema)
    if table is None:
        return dated_rows.to_tables(schema, patient_log, carried=carried, extract_date=extract_date)
    if carried is None:
        built = dated_rows.to_tables(
            with_people(schema), patient_log, carried=None, extract_date=extract_date
        )
        rows = built[people_name(table)].join(
            built[table.name], on=table.patient, how="left", maintain_order="left_right"
        )
        return {table.name: rows.select(list(table.columns))}
    marks = [name for name in carried[table.name].columns if name.split(":")[0] in once_of(table)]
    events = carried[table.name].drop(marks)
    built = dated_rows.to_tables(
        with_people(schema),
        patient_log,
        carried={people_name(table): carried[people_name(table)], table.name: events},
        extract_date=extract_date,
    )
    rows = built[table.name]
    own = restore(
        carried[table.name].select(ID, *marks),
        _beside_own(rows, built[people_name(table)], table),
        _own_values(table),
        [],
    )
    return {table.name: rows.hstack(own).select(list(table.columns))}


def _beside_own(rows: pl.DataFrame, people: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Row by row patient_id and what the patients' table says."""
    own = people.select(
        pl.col(table.patient or "").alias(ID), *(pl.col(n).alias(_OWN + n) for n in once_of(table))
    )
    owners = rows.select(pl.col(table.patient or "").alias(ID))
    return owners.join(own, on=ID, how="left", maintain_order="left")


def _own_values(table: Table) -> dict[str, pl.Expr]:
    return {name: pl.col(_OWN + name) for name in once_of(table)}
