"""A file whose declaration does not exist yet: how it is written, and its rows as text, block by
block.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow.parquet as pq

from pipeline.refusal import Refusal
from pipeline.restricted.draft import separators
from pipeline.restricted.ingest import parquet_cells
from pipeline.restricted.ingest.file_faults import structure
from pipeline.restricted.ingest.text_bytes import unpacked
from pipeline.schema.values import Column

BLOCK_ROWS = 20_000
FORMATS = {  # by ending
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "csv",
    ".tsv.gz": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "xlsx",
    ".parquet": "parquet",
}
_PIECE = 1 << 20
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_YEAR = re.compile(r"(18|19|20)\d\d")  # a column for each
_KEY_RECORDS = 1000  # of JSON, in which every key must have come up


@dataclass(frozen=True)
class SourceFile:
    """One file with its header understood. `encoding`, `separator`: of text; `sheet`: of a
    workbook, with `other_sheets` beside it.
    """

    path: Path
    format: str
    headers: tuple[str, ...] = ()
    encoding: str = "utf-8"
    separator: str = ","
    sheet: str | None = None
    other_sheets: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """The name without its ending, as `file:` has it."""
        name = self.path.name
        return name[: -len(_ending(name))]

    def blocks(self) -> Iterator[pl.DataFrame]:
        """The rows as text (null: an empty cell), columns c0, c1, ... as `headers`; the last
        column, `ragged`, says which rows had another number of cells than the header.
        """
        with structure(self.path.name):
            if self.format == "parquet":
                yield from _parquet_blocks(self)
                return
            rows = _ROWS[self.format](self)
            while block := list(islice(rows, BLOCK_ROWS)):
                yield _frame(block, len(self.headers))


def open_file(path: Path) -> SourceFile:
    """How a file is written. Raises Refusal for what cannot be drafted from: an unknown ending, an
    empty file, a file without a header.
    """
    if not path.is_file():
        raise Refusal(f"{path}: there is no such file. Name the files of the tables, not folders.")
    ending = _ending(path.name)
    if ending not in FORMATS:
        raise Refusal(
            f"{path.name}: this ending is not known; known are {', '.join(FORMATS)}. Save the table"
            " in one of these forms."
        )
    source = SourceFile(path, FORMATS[ending])
    with structure(path.name):
        source = _OPENERS[source.format](source)
    if not source.headers:
        raise Refusal(f"{path.name} is empty: a table needs a header and rows.")
    _refuse_bad_header(source)
    return source


def _ending(name: str) -> str:
    folded = name.lower()
    endings = sorted(FORMATS, key=len, reverse=True)
    return next((ending for ending in endings if folded.endswith(ending)), Path(folded).suffix)


def _refuse_bad_header(source: SourceFile) -> None:
    """A file without a header is told by its shape; its first row is not shown."""
    headers = [header for header in source.headers if header]
    n_numbers = sum(_is_number(header) and not _YEAR.fullmatch(header) for header in headers)
    if source.format != "jsonl" and (2 * n_numbers > len(headers) or not headers):
        raise Refusal(
            f"{source.path.name}, line 1 looks like a row, not like names of columns"
            f" ({n_numbers} of {len(source.headers)} are numbers): write a header above it."
        )
    folded = [header.casefold() for header in source.headers]
    twice = sorted({header for header in headers if folded.count(header.casefold()) > 1})
    if twice or folded.count("") > 1:
        raise Refusal(
            f"{source.path.name}, line 1: {', '.join(twice[:5]) or 'an empty name'} stands twice in"
            " the header (upper and lower case count as one): name the columns apart."
        )


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _open_csv(source: SourceFile) -> SourceFile:
    source = replace(source, encoding=_encoding(source.path))
    with _text(source) as stream:
        sample = stream.read(_PIECE)
    if not sample.strip():
        raise Refusal(f"{source.path.name} is empty: a table needs a header and rows.")
    source = replace(source, separator=separators.guess(sample))
    header = next(_csv_rows(source, with_header=True), [])
    return replace(source, headers=tuple(str(cell or "").strip() for cell in header))


def _encoding(path: Path) -> str:
    """UTF-8 where the whole file is, else UTF-16 by its mark, else Windows' or plain latin-1."""
    utf8 = codecs.getincrementaldecoder("utf-8")()
    is_utf8, has_windows = True, False
    with unpacked(path) as stream:
        start = stream.read(_PIECE)
        if start[:2] in _BOMS:
            return _BOMS[start[:2]]
        for piece in chain([start], iter(lambda: stream.read(_PIECE), b"")):
            has_windows |= any(0x80 <= byte <= 0x9F for byte in set(piece))
            if is_utf8:
                is_utf8 = _decodes(utf8, piece)
    if is_utf8:
        return "utf-8"
    return "cp1252" if has_windows else "latin-1"


def _decodes(decoder: codecs.IncrementalDecoder, piece: bytes) -> bool:
    try:
        decoder.decode(piece)
    except UnicodeDecodeError:
        return False
    return True


class _Text:
    """The file's text, decoded as it is read."""

    def __init__(self, source: SourceFile):
        self._bytes = unpacked(source.path)
        self._encoding = "utf-8-sig" if source.encoding == "utf-8" else source.encoding

    def __enter__(self) -> io.TextIOWrapper:
        stream: BinaryIO = self._bytes.__enter__()
        return io.TextIOWrapper(stream, self._encoding, errors="replace", newline="")

    def __exit__(self, *error: Any) -> None:
        self._bytes.__exit__(*error)


_text = _Text


def _csv_rows(source: SourceFile, with_header: bool = False) -> Iterator[list[str]]:
    csv.field_size_limit(1 << 30)
    with _text(source) as stream:
        rows = csv.reader(stream, delimiter=source.separator)
        for number, row in enumerate(rows):
            if row and (number or with_header):
                yield row


def _open_jsonl(source: SourceFile) -> SourceFile:
    records = islice(_records(source), _KEY_RECORDS)
    return replace(source, headers=tuple(dict.fromkeys(key for row in records for key in row)))


def _records(source: SourceFile) -> Iterator[dict[str, Any]]:
    with _text(source) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict):
                raise Refusal(
                    f"{source.path.name}, line {number} is no JSON object: JSON lines hold one"
                    " {...} in each line."
                )
            yield record


def _json_rows(source: SourceFile) -> Iterator[list[str]]:
    for record in _records(source):
        extra = [""] if record.keys() - set(source.headers) else []  # a key that came later
        yield [_json_cell(record.get(key)) for key in source.headers] + extra


def _json_cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _open_xlsx(source: SourceFile) -> SourceFile:
    import openpyxl

    book = openpyxl.load_workbook(source.path, read_only=True)
    names = tuple(sheet.title for sheet in book.worksheets)
    source = replace(source, sheet=names[0], other_sheets=names[1:])
    header = next(_sheet_rows(source, with_header=True), [])
    return replace(source, headers=tuple(cell.strip() for cell in header))


def _sheet_rows(source: SourceFile, with_header: bool = False) -> Iterator[list[str]]:
    import openpyxl

    book = openpyxl.load_workbook(source.path, read_only=True, data_only=True)
    for number, row in enumerate(book[source.sheet].iter_rows(values_only=True)):
        cells = [_sheet_cell(value) for value in row]
        if any(cells) and (number or with_header):
            yield cells


def _sheet_cell(value: Any) -> str:
    if hasattr(value, "isoformat"):
        return str(value.isoformat(sep=" ") if hasattr(value, "hour") else value).removesuffix(
            " 00:00:00"
        )
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _open_parquet(source: SourceFile) -> SourceFile:
    return replace(source, headers=tuple(pq.ParquetFile(source.path).schema_arrow.names))


def _parquet_blocks(source: SourceFile) -> Iterator[pl.DataFrame]:
    for batch in pq.ParquetFile(source.path).iter_batches(batch_size=BLOCK_ROWS):
        cells = {
            f"c{place}": parquet_cells.texts(column, Column(name="cell", kind="date"))[0]
            for place, column in enumerate(batch.columns)
        }
        yield pl.DataFrame(cells).with_columns(pl.lit(False).alias("ragged"))


def _frame(rows: Sequence[Sequence[str]], width: int) -> pl.DataFrame:
    columns = {
        f"c{place}": [row[place] if place < len(row) else None for row in rows]
        for place in range(width)
    }
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return frame.with_columns(pl.Series("ragged", [len(row) != width for row in rows]))


_OPENERS = {
    "csv": _open_csv,
    "jsonl": _open_jsonl,
    "xlsx": _open_xlsx,
    "parquet": _open_parquet,
}
_ROWS = {"csv": _csv_rows, "jsonl": _json_rows, "xlsx": _sheet_rows}
