"""Made-up sources of every layout: a handful of patients, each odd in a way of its own, and files
of every form that hold them, or some of them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import openpyxl
import polars as pl

from audit.layout_declarations import DECLARATIONS
from pipeline import files
from pipeline.restricted.ingest.owners import patient_table
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Column, Schema, Table

Row = dict[str, str]
Rows = dict[str, list[tuple[str, Row]]]  # by table: whose row it is, and its cells
# which patient is odd in which way; each id is another patient's, though some look alike
MOODS = {
    "7": "ordinary",
    "007": "its twin, but for the id",
    "é 1": "cells missing",
    "É 1": "rare values",
    "x": "many rows",
    "X": "tied rows",
    "y": "equal rows",
    "10000000000000000001": "an invalid cell",
    "b": "out of range",
    "c": "cells missing",
    "d": "many rows",
    "e": "ordinary",
    "z": "spelled in several ways",
}
_N_ROWS = {"many rows": 8, "tied rows": 4}
_FIRST_DAY = date(2012, 1, 1)


@cache
def schema_of(layout: str, folder: Path) -> Schema:
    """The declaration, read from a file in `folder`."""
    text = DECLARATIONS[layout]
    path = folder / f"{text.split()[1]}.yaml"
    files.write_text(path, text)
    return read_schema(path)


def rows_of(schema: Schema, seed: int = 1) -> Rows:
    """The rows of all tables, patients mixed: the second rows of all behind all first ones."""
    chance, main, rows = np.random.default_rng(seed), patient_table(schema), Rows()
    for name, table in schema.tables.items():
        is_one_each = name == main and table.once is None
        theirs: list[tuple[int, str, Row]] = []
        twin: list[Row] = []
        for patient, mood in MOODS.items():
            n = 1 if is_one_each else _N_ROWS.get(mood, 2)
            some = [_row(table, patient, mood, number, chance) for number in range(n)]
            some = some * 2 if mood == "equal rows" else some
            if patient == "7":
                twin = some
            if mood.startswith("its twin"):
                some = [{**row, **_own(table, patient, 0)} for row in twin]
            theirs += [(number, patient, row) for number, row in enumerate(some)]
        theirs.sort(key=lambda one: -one[0])
        mixed = [(patient, row) for _, patient, row in theirs]
        rows[name] = mixed if table.patient is not None else _by_content(mixed)
    return rows


def _own(table: Table, patient: str, number: int) -> Row:
    spelling = (f" {patient}", f"{patient}\u00a0")[number % 2] if patient == "z" else patient
    if table.line_breaks and patient in ("d", "z"):
        spelling = f"\r\n{patient}\n"
    return {table.patient: spelling} if table.patient is not None else {}


def _by_content(rows: list[tuple[str, Row]]) -> list[tuple[str, Row]]:
    """Of a table without ids: who has the same row is the same."""
    first: dict[tuple[str, ...], str] = {}
    return [(first.setdefault(tuple(row.values()), patient), row) for patient, row in rows]


def _row(table: Table, patient: str, mood: str, number: int, chance: np.random.Generator) -> Row:
    row = {
        name: _cell(column, patient, number, chance, 20 * place)
        for place, (name, column) in enumerate(table.columns.items())
        if name != table.patient
    }
    if mood == "an invalid cell" and number == 0:
        row[next(name for name, column in table.columns.items() if column.kind != "id")] = "?!"
    return {**row, **_own(table, patient, number)}


def _cell(
    column: Column, patient: str, number: int, chance: np.random.Generator, later: int
) -> str:
    """later: by how much a time of this column lies behind one of the row's first column."""
    mood = MOODS[patient]
    if column.kind == "id":  # keys count anew for every second patient: two share them
        return str(number + 1 + 10 * (list(MOODS).index(patient) // 2))
    if column.nullable and (mood == "cells missing" or chance.random() < 0.1):
        return ""
    if column.is_categorical:
        if mood == "out of range" and column.unknown != "drop":
            return "toe"
        codes = column.categories
        common = codes[int(chance.integers(0, max(1, len(codes) - 1)))]
        return codes[-1] if mood == "rare values" else common
    step = later + (30 if mood == "tied rows" else 30 + 40 * number + int(chance.integers(0, 30)))
    if column.kind == "date":
        is_late = mood == "out of range" and column.nullable
        return "2031-01-01" if is_late else str(_FIRST_DAY + timedelta(days=step * 5))
    if mood == "out of range" and column.nullable:
        return "1e400"
    least, most = (bound or 0.0 for bound in (column.lower, column.upper))
    value = most if mood == "rare values" else least + min(step, 0.9 * (most - least))
    return f"{value:.{column.decimals}f}".replace(".", column.decimal)


def of_patients(rows: Rows, patients: Iterable[str]) -> Rows:
    """The rows of some patients, in the order in which they stand among all."""
    chosen = set(patients)
    return {name: [one for one in some if one[0] in chosen] for name, some in rows.items()}


def _csv(schema: Schema, rows: Rows, folder: Path) -> Path:
    for name, table in schema.tables.items():
        text = io.StringIO()
        writer = csv.writer(text, delimiter=table.separator, lineterminator="\r\n")
        cells = ([row[column] for column in table.columns] for _, row in rows[name])
        writer.writerows([list(table.columns), *cells])
        (folder / f"{table.file}.csv").write_bytes(text.getvalue().encode(table.encoding))
    return folder


def _json(schema: Schema, rows: Rows, folder: Path) -> Path:
    for name, table in schema.tables.items():
        cells = ({key: cell or None for key, cell in row.items()} for _, row in rows[name])
        text = "".join(f"{json.dumps(row)}\n" for row in cells)
        (folder / f"{table.file}.jsonl").write_text(text, encoding=table.encoding)
    return folder


def _frames(schema: Schema, rows: Rows) -> Iterator[tuple[str, pl.DataFrame]]:
    """(name of its file, rows as text) of each table."""
    for name, table in schema.tables.items():
        cells = [row for _, row in rows[name]]
        yield table.file, pl.DataFrame(cells, dict.fromkeys(table.columns, pl.String))


def _parquet(schema: Schema, rows: Rows, folder: Path) -> Path:
    for name, frame in _frames(schema, rows):
        frame.write_parquet(folder / f"{name}.parquet", row_group_size=3)
    return folder


def _duckdb(schema: Schema, rows: Rows, folder: Path) -> Path:
    path = folder / "source.duckdb"
    with duckdb.connect(str(path)) as connection:
        for name, frame in _frames(schema, rows):
            connection.register("frame", frame.to_arrow())
            connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM frame')
    return path


def _sheets(schema: Schema, rows: Rows, folder: Path) -> Path:
    book, path = openpyxl.Workbook(write_only=True), folder / "source.xlsx"
    for name, frame in _frames(schema, rows):
        sheet = book.create_sheet(name)
        for cells in (frame.columns, *frame.iter_rows()):
            sheet.append([cell or None for cell in cells])
    book.save(path)
    return path


# how a source's files are written: into a folder, to what is then named as the source
FORMS: Mapping[str, Callable[[Schema, Rows, Path], Path]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
    "duckdb": _duckdb,
    "xlsx": _sheets,
}


def write(schema: Schema, rows: Rows, form: str, folder: Path) -> Path:
    """The source's files in `folder`, which is made; what to name as the source."""
    folder.mkdir(parents=True)
    return FORMS[form](schema, rows, folder)
