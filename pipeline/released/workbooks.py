"""The look-up workbook and the data dictionary as researchers know them, in Excel's format. A code
is a number where it is one in the official workbook, else text, so that 01 stays 01. Equal
declarations give equal bytes: no clock, name or path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import xlsxwriter

from pipeline import files
from pipeline.adapters.marks import mark
from pipeline.released.dictionary import ORIGINS, named_lists, value_range
from pipeline.runs.version_stores import MOMENT
from pipeline.schema.codes import lists
from pipeline.schema.values import Column, Schema

LONGEST_CELL = 32_767  # Excel's
LONGEST_NAME = 31  # of a sheet, Excel's
FIRST_SHEET = "Lookup Table Description"

Rows = Sequence[Sequence[str | int]]


def write_lookup_workbook(schema: Schema, path: Path) -> None:
    """First which column has which list, then a sheet (Code, Description) for each list. Nothing
    where no column names a list.
    """
    names = named_lists(schema)
    if not names:
        return
    by_column = [
        (table.file, column.header or column.name, lists.sheet(column.lookup))
        for table in schema.tables.values()
        for column in table.columns.values()
        if column.lookup
    ]
    sheets: dict[str, Rows] = {FIRST_SHEET: [("Table", "Data field", "Lookup name"), *by_column]}
    for name in sorted(names, key=lists.sheet):
        sheets[lists.sheet(name)] = _codes(name)
    _write(path, sheets)


def _codes(name: str) -> Rows:
    """Code and description of each code of a list, and what else the official sheet says of it."""
    more = lists.more_columns(name)
    lines = (
        (
            lists.workbook_cell(name, code),
            description,
            *(cells.get(code, "") for cells in more.values()),
        )
        for code, description in lists.lookup(name).items()
    )
    return [("Code", "Description", *more), *lines]


def write_dictionary_workbook(schema: Schema, path: Path) -> None:
    """One sheet per table, one line per column."""
    header = ("Field name", "Data item", "Data format", "Notes")
    _write(
        path,
        {
            table.file: [
                header,
                *(
                    (
                        column.header or column.name,
                        column.description or "",
                        data_format(column),
                        _notes(column),
                    )
                    for column in table.columns.values()
                ),
            ]
            for table in schema.tables.values()
        },
    )


def data_format(column: Column) -> str:
    """In the words of the Simulacrum's dictionary."""
    if column.kind == "date":
        return "Date"
    if column.kind == "continuous":
        return "Numeric" if column.decimals else "Integer"
    return "Integer" if column.kind == "id" and column.integer else "Character"


def _notes(column: Column) -> str:
    notes = [f"In this extract: {ORIGINS[column.role]}."]
    if column.lookup:
        notes.append(f"Consult {lists.sheet(column.lookup)} in all_z_lookup_tables.xlsx.")
    elif values := value_range(column):
        notes.append(f"Values: {values}{f' {column.unit}' if column.unit else ''}.")
    if column.nullable and column.role != "carried":
        notes.append(f"Missing: {mark(column) or 'an empty cell'}.")
    return " ".join(notes)


def _write(path: Path, sheets: Mapping[str, Rows]) -> None:
    others: set[str] = set()
    with (
        files.replacing(path) as temporary,
        xlsxwriter.Workbook(str(temporary), {"in_memory": True}) as book,
    ):
        # the moment of everything in the released zone, and nobody's name
        book.set_properties({"created": MOMENT.replace(tzinfo=None), "author": ""})
        bold = book.add_format({"bold": True})
        for name, rows in sheets.items():
            page = book.add_worksheet(_free_name(name, others))
            page.freeze_panes(1, 0)
            for row, cells in enumerate(rows):
                for place, cell in enumerate(cells):
                    if isinstance(cell, int):
                        page.write_number(row, place, cell)
                        continue
                    page.write_string(row, place, cell[:LONGEST_CELL], None if row else bold)
            for place in range(len(rows[0])):
                longest = max(len(str(cells[place])) for cells in rows)
                page.set_column(place, place, min(longest + 2, 80))


def _free_name(name: str, others: set[str]) -> str:
    """What Excel takes for the name of a sheet, and no other sheet has."""
    plain = re.sub(r"[\[\]:*?/\\']", "_", name)[:LONGEST_NAME]
    free, number = plain, 2
    while free.casefold() in others | {"history"}:
        free = f"{plain[: LONGEST_NAME - 4]} {number}"
        number += 1
    others.add(free.casefold())
    return free
