"""The data dictionary and the lookups of an extract, written from the declaration and the public
code lists.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from pipeline.adapters.marks import mark
from pipeline.schema.codes import lists
from pipeline.schema.source_formats import has_time
from pipeline.schema.values import ISO_DATE, Column, KnownTable, Schema

FIELDS = (
    "table",
    "column",
    "kind",
    "in_this_extract",
    "values",
    "unit",
    "missing_allowed",
    "missing_mark",
    "lookup",
    "made_by",
    "source",
    "known_tables",
    "description",
)
ORIGINS = {
    "modelled": "learned with differential privacy",
    "rebuilt": "rebuilt by a public rule",
    "key": "fresh key, of no real record",
    "carried": "empty: this column never leaves the registry",
}


def write_dictionary(schema: Schema, out: Path, published: Sequence[KnownTable] = ()) -> None:
    """One line per column of each table, CSV. `published`: the tables to which the model shrank."""
    known_tables: dict[str, list[str]] = {}
    for table in published:
        for name in table.columns:
            known_tables.setdefault(name, []).append(table.name)
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        for source in schema.tables.values():
            for column in source.columns.values():
                names = known_tables.get(column.name, [])
                writer.writerow(_line(source.file, column) | {"known_tables": "; ".join(names)})


def _line(table: str, column: Column) -> dict[str, str]:
    return {
        "table": table,
        "column": column.header or column.name,
        "kind": column.kind,
        "in_this_extract": ORIGINS[column.role],
        "values": f"lookups/{column.lookup}.csv" if column.lookup else value_range(column),
        "unit": column.unit or "",
        "missing_allowed": "yes" if column.nullable else "no",
        "missing_mark": mark(column),
        "lookup": column.lookup or "",
        "made_by": column.rule or "",
        "source": column.source or "",
        "description": " ".join(filter(None, (column.description, _of_dates(column)))),
    }


def _of_dates(column: Column) -> str:
    """How the source writes dates, where otherwise than the extract does."""
    if column.kind != "date" or column.date_format == ISO_DATE or column.role == "carried":
        return ""
    lost = " and a time of day, which is not kept" if has_time(column.date_format) else ""
    return f"The source writes {column.date_format}{lost}; the extract writes {ISO_DATE}."


def value_range(column: Column) -> str:
    """The legal values of a column in words: its categories, or its bounds."""
    if column.categories:
        return " | ".join(column.categories)
    if column.lower is None or column.upper is None:
        return ""
    if column.kind == "date":
        return f"{_day(column.lower)} to {_day(column.upper)}"
    return f"{column.lower:g} to {column.upper:g}"


def _day(days: float) -> date:
    return date(1970, 1, 1) + timedelta(days=int(days))


def write_lookups(schema: Schema, folder: Path) -> None:
    """`<lookup>.csv` (Code, Description) for every code list that a column names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(named_lists(schema)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("Code", "Description"))
            writer.writerows(lists.lookup(name).items())


def named_lists(schema: Schema) -> set[str]:
    """The code lists that columns of the tables name."""
    return {
        column.lookup
        for table in schema.tables.values()
        for column in table.columns.values()
        if column.lookup
    }
