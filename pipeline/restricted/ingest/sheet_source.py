"""Sheets of an Excel workbook as a source, read row by row.

Row 1 is the header. A cell is what Excel shows of it where that is certain: a whole number without
a point, a number under a format of zeros (000) with them, a date as the declaration writes dates. A
formula is its stored result; one that no program has computed yet is a cell that cannot be read.
"""

from __future__ import annotations

import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import repeat
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
import openpyxl
import polars as pl
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import parquet_cells
from pipeline.restricted.ingest.blocks import BROKEN_SCHEMA, Block
from pipeline.restricted.ingest.casting import owner_column
from pipeline.restricted.ingest.csv_lines import BROKEN_ROW
from pipeline.restricted.ingest.repairs import UNREADABLE
from pipeline.restricted.ingest.source_header import Source, places
from pipeline.restricted.ingest.text_bytes import ByteFile
from pipeline.schema.values import Column, Schema, Table

BATCH_ROWS = 10_000
NOT_COMPUTED = f"{UNREADABLE}formula without a result"
_FORMULA = re.compile(rb"<(?:\w+:)?f[ />]")
_ZEROS = re.compile(r"0{2,}")
_DAMAGE = (  # what its libraries raise for parts that are none, or are packed otherwise
    zipfile.BadZipFile, zlib.error, EOFError, ParseError, InvalidFileException, RuntimeError,
    KeyError, ValueError, IndexError, TypeError, OverflowError,
)  # fmt: skip
Row = tuple[Any, ...]  # cells of openpyxl


def open_sheet(table: Table, file: ByteFile) -> Source:
    """The table's sheet: the declared one, the one named as the table's `file`, or the only one.
    Raises Refusal for a workbook without it, or whose first row is not the declared header.
    """
    with _workbook(file) as book:
        titles = [sheet.title for sheet in book.worksheets]
    return _open(table, file, _chosen(table, file.name, titles, is_alone=True))


def open_workbook(schema: Schema, file: ByteFile) -> dict[str, Source]:
    """Every declared table, each from its sheet. Raises Refusal as `open_sheet` does."""
    with _workbook(file) as book:
        titles = [sheet.title for sheet in book.worksheets]
    return {
        name: _open(table, file, _chosen(table, file.name, titles, is_alone=False))
        for name, table in schema.tables.items()
        if table.required or _has(titles, table.sheet or table.file)
    }


def _has(titles: list[str], name_of_sheet: str) -> bool:
    return name_of_sheet.casefold() in (title.casefold() for title in titles)


def _chosen(table: Table, name: str, titles: list[str], *, is_alone: bool) -> str:
    name_of_sheet = table.sheet or table.file
    for title in titles:
        if title.casefold() == name_of_sheet.casefold():
            return title
    if is_alone and table.sheet is None and len(titles) == 1:
        return titles[0]
    raise Refusal(
        f"{name}: missing sheet {name_of_sheet} of table {table.name}; the workbook has"
        f" {', '.join(titles) or 'none'}. Declare `sheet:` under the table."
    )


def _open(table: Table, file: ByteFile, sheet: str) -> Source:
    name = f"{file.name}, sheet {sheet}"
    with _workbook(file) as book:
        fields = _header(next(_rows(book, sheet), (1, ()))[1], name)
    positions, aliases = places(table, name, fields)

    def rows(max_cell_bytes: int) -> Iterator[Block]:
        owner = owner_column(table)
        place = None if owner is None else positions[owner]
        with _workbook(file) as book, _formulas(file, sheet) as formulas:
            batch = _Batch(table, positions, place)
            for number, cells in _rows(book, sheet):
                computed = next(formulas)
                if number > 1:
                    batch.add(number, cells, computed, len(fields))
                if len(batch.lines) + len(batch.broken) >= BATCH_ROWS:
                    yield batch.block()
                    batch = _Batch(table, positions, place)
            yield batch.block()

    return Source(table, name, positions, aliases, rows)


@contextmanager
def _workbook(file: ByteFile, *, data_only: bool = True) -> Iterator[Any]:
    """Raises Refusal for a file that is no workbook."""
    try:
        # openpyxl warns of what it cannot keep, and quotes cells there
        with warnings.catch_warnings(), file.open("rb") as raw:
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(raw, read_only=True, data_only=data_only)
            try:
                yield book
            finally:
                book.close()
    except _DAMAGE as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(
            f"{file.name} is no readable Excel workbook ({type(error).__name__}). Save it again as"
            " .xlsx, or copy it again from its origin."
        ) from None


def _rows(book: Any, sheet: str) -> Iterator[tuple[int, Row]]:
    worksheet = book[sheet]
    worksheet.reset_dimensions()  # what the file says of its own size may be wrong
    return enumerate(worksheet.iter_rows(), 1)


@contextmanager
def _formulas(file: ByteFile, sheet: str) -> Iterator[Iterator[Row]]:
    """The rows once more, with formulas in place of their results; nothing for a workbook without
    formulas.
    """
    if not _has_formulas(file):
        yield repeat(())
        return
    with _workbook(file, data_only=False) as book:
        yield (cells for _, cells in _rows(book, sheet))


def _has_formulas(file: ByteFile) -> bool:
    with file.open("rb") as raw, zipfile.ZipFile(raw) as archive:
        for name in archive.namelist():
            if not name.startswith("xl/worksheets/") or not name.endswith(".xml"):
                continue
            with archive.open(name) as part:
                rest = b""
                while chunk := part.read(1 << 20):
                    if _FORMULA.search(rest + chunk):
                        return True
                    rest = chunk[-64:]
    return False


def _header(cells: Row, name: str) -> list[str]:
    fields = ["" if cell.value is None else str(cell.value).strip() for cell in cells]
    while fields and not fields[-1]:
        fields.pop()
    if not fields:
        raise Refusal(f"{name}, row 1 is blank: the header must be the first row.")
    if "" in fields:
        place = f"{get_column_letter(fields.index('') + 1)}1"
        raise Refusal(f"{name}: cell {place} is empty, and columns stand beside it: name them all.")
    return fields


@dataclass
class _Batch:
    """Rows of one sheet until they are a block. `owner`: place of the cell that says whose row it
    is.
    """

    table: Table
    positions: dict[str, int]
    owner: int | None
    lines: list[int] = field(default_factory=list)
    values: list[list[Any]] = field(default_factory=list)
    broken: list[tuple[int, Any]] = field(default_factory=list)  # row, value of the owner's cell

    def add(self, number: int, cells: Row, formulas: Row, n_fields: int) -> None:
        """A row without any value is none; one with a value behind the last column is broken."""
        values = [_value(cell) for cell in cells]
        for place, cell in enumerate(formulas[: len(values)]):
            if values[place] is None and cell.data_type == "f":
                values[place] = NOT_COMPUTED
        if all(value is None for value in values):
            return
        if any(value is not None for value in values[n_fields:]):
            owner = values[self.owner] if self.owner is not None else None
            self.broken.append((number, owner))
            return
        self.lines.append(number)
        self.values.append(values + [None] * (n_fields - len(values)))

    def block(self) -> Block:
        columns = self.table.columns
        owner = owner_column(self.table)
        owners = pl.Series([None] * len(self.broken), dtype=pl.String)
        if owner is not None:
            owners = _texts([value for _, value in self.broken], columns[owner])
        return Block(
            pl.DataFrame(
                [
                    _texts([row[place] for row in self.values], columns[name]).alias(name)
                    for name, place in self.positions.items()
                ]
            ),
            pl.DataFrame(
                {"owner": owners, "reason": [BROKEN_ROW] * len(self.broken)}, BROKEN_SCHEMA
            ),
            lines=np.array(self.lines, np.int64),
            broken_lines=np.array([number for number, _ in self.broken], np.int64),
        )


def _value(cell: Any) -> Any:
    """The cell's value; a whole number under a format of zeros as Excel shows it."""
    value = cell.value
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        form = cell.number_format
        if form and _ZEROS.fullmatch(form) and math.isfinite(value) and value == int(value):
            return f"{int(value):0{len(form)}d}"
    return None if value == "" else value


def _texts(values: list[Any], column: Column) -> pl.Series:
    """Cells as the text that a CSV file of the same table would hold."""
    moments = [_moment(value) for value in values]
    texts = pl.Series([_text(value, column) for value in values], dtype=pl.String)
    if any(moments):
        dates = parquet_cells.date_texts(pl.Series(moments, dtype=pl.Datetime("us")), column)
        texts = pl.DataFrame({"d": dates, "t": texts}).select(pl.coalesce("d", "t").alias("t"))["t"]
    return texts


def _moment(value: Any) -> datetime | None:
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time())
    return value if isinstance(value, datetime) else None


def _text(value: Any, column: Column) -> str | None:
    match value:
        case None | datetime() | date():
            return None
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _number(value, column)
        case time():
            return value.isoformat()
        case timedelta():
            return f"{UNREADABLE}duration"
        case str():
            return value if "\0" not in value else f"{UNREADABLE}text"
    return f"{UNREADABLE}{type(value).__name__}"


def _number(value: float, column: Column) -> str:
    if column.kind == "id" and abs(value) >= 2.0**53:
        return f"{UNREADABLE}{value!r}"
    text = str(int(value)) if value.is_integer() and abs(value) < 2.0**63 else repr(value)
    return text.replace(".", column.decimal) if column.kind == "continuous" else text
