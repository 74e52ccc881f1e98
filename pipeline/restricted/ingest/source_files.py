"""Finds the source's files and checks their structure: a fault of it (a file, a header, a Parquet
type) stops the run with one line to the custodian.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import csv_header
from pipeline.schema.values import Column, Schema, Table

SUFFIXES = (".csv", ".csv.gz", ".parquet")


@dataclass(frozen=True)
class Source:
    """One table's file with its header understood. `positions`: declared column -> field.
    `aliases`: columns found under an older name.
    """

    table: Table
    path: Path
    fields: tuple[str, ...]
    positions: dict[str, int]
    aliases: frozenset[str]
    line_end: bytes = b"\n"  # CSV only

    @property
    def is_parquet(self) -> bool:
        return self.path.name.lower().endswith(".parquet")


def sources(schema: Schema, root: Path) -> dict[str, Source]:
    """The file of each declared table under `root` (a folder, its Data folder, or the one file of a
    dataset of one table), header checked.

    Raises Refusal naming every table that is missing, or the first file whose structure is
    wrong.
    """
    if not root.exists():
        raise Refusal(
            f"source {root.name}: there is no such folder or file. Declare where the tables of"
            f" {schema.dataset} lie."
        )
    if root.is_file():
        if len(schema.tables) > 1:
            raise Refusal(
                f"source {root.name} is one file, but {schema.dataset} has {len(schema.tables)}"
                " tables: give the folder that holds"
                f" {', '.join(t.file for t in schema.tables.values())}."
            )
        if not root.name.lower().endswith(SUFFIXES):
            raise Refusal(f"source {root.name}: expected a file ending in {', '.join(SUFFIXES)}.")
        return {name: open_source(table, root) for name, table in schema.tables.items()}
    paths = {name: _find(table, root) for name, table in schema.tables.items()}
    missing = [
        schema.tables[name].file
        for name, path in paths.items()
        if path is None and schema.tables[name].required
    ]
    if missing:
        raise Refusal(
            f"missing table(s) {', '.join(missing)}: no such file ending in {', '.join(SUFFIXES)}"
            f" in {root.name} or its Data folder. Add the file, or correct `file:` in the"
            " declaration."
        )
    return {
        name: open_source(schema.tables[name], path)
        for name, path in paths.items()
        if path is not None
    }


def _find(table: Table, root: Path) -> Path | None:
    names = {f"{table.file}{suffix}".lower() for suffix in SUFFIXES}
    folders = [
        root,
        *(
            child
            for child in sorted(root.iterdir())
            if child.is_dir() and child.name.lower() == "data"
        ),
    ]
    matches = [
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name.lower() in names
    ]
    if len(matches) > 1:
        raise Refusal(
            f"table {table.name}: found more than one file for it:"
            f" {', '.join(path.name for path in matches)}. Keep one."
        )
    return matches[0] if matches else None


def open_source(table: Table, path: Path) -> Source:
    """Reads the header and matches it with the declaration. Raises Refusal for a file whose
    structure is wrong.
    """
    line_end = b"\n"
    with structure(path):
        if path.name.lower().endswith(".parquet"):
            fields = _parquet_fields(table, path)
        else:
            with binary(path) as stream:
                fields, line_end = csv_header.read(stream, path.name, table.separator)
    index_of = {field.casefold(): index for index, field in reversed(list(enumerate(fields)))}
    if len(index_of) < len(fields):
        _refuse_twice(table, path, fields)
    positions, aliases, missing = {}, set(), []
    for column in table.columns.values():
        names = _headers(column)
        place = next((name for name in names if name in index_of), None)
        if place is None:
            missing.append(column.header or column.name)
            continue
        positions[column.name] = index_of[place]
        if place != names[0]:
            aliases.add(column.name)
    ignored = {name.casefold() for name in table.ignore}
    used = set(positions.values())
    extra = [
        field
        for index, field in enumerate(fields)
        if index not in used and field.casefold() not in ignored
    ]
    _refuse_other_columns(table, path, fields, missing, extra)
    return Source(table, path, tuple(fields), positions, frozenset(aliases), line_end)


def _headers(column: Column) -> list[str]:
    """The names under which a header may have a column, its own first; case does not count."""
    return [name.casefold() for name in (column.header or column.name, *column.aliases)]


def _refuse_twice(table: Table, path: Path, fields: Sequence[str]) -> None:
    """Names declared columns only: the first line of a file without a header is a patient's row."""
    times = Counter(field.casefold() for field in fields)
    declared_names = {name for column in table.columns.values() for name in _headers(column)}
    twice = ", ".join(
        sorted(
            {
                field
                for field in fields
                if times[field.casefold()] > 1 and field.casefold() in declared_names
            }
        )
    )
    raise Refusal(
        f"{path.name}: column(s) {twice or 'that are not declared'} stand twice in the header."
    )


def _refuse_other_columns(
    table: Table, path: Path, fields: Sequence[str], missing: list[str], extra: list[str]
) -> None:
    if missing:
        hint = csv_header.separator_hint(fields, table)
        raise Refusal(
            f"{path.name}: missing column(s) {', '.join(missing)} of table {table.name}.{hint}"
            " Older names go under `aliases:`."
        )
    if extra:
        raise Refusal(
            f"{path.name}: undeclared column(s) {', '.join(extra)} in table {table.name}. Declare"
            " them, or list them under `ignore:`."
        )


@contextmanager
def binary(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked where it is gzip (by its first bytes, not by its name)."""
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if is_gzip:
            with gzip.open(raw, "rb") as stream:
                yield stream  # type: ignore[misc]
        else:
            yield raw


@contextmanager
def structure(path: Path) -> Iterator[None]:
    """Says in one line what is wrong with a damaged file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise Refusal(
            f"{path.name} is a truncated or damaged gzip file. Copy it again from its origin."
        ) from None
    except PermissionError:
        raise Refusal(
            f"{path.name} may not be read by this account. Correct the file's rights."
        ) from None
    except (pa.ArrowException, OSError) as error:
        if not path.name.lower().endswith(".parquet"):
            raise
        raise Refusal(
            f"{path.name} is no readable Parquet file ({type(error).__name__}). Copy it again from"
            " its origin."
        ) from None


def _parquet_fields(table: Table, path: Path) -> list[str]:
    if path.stat().st_size == 0:
        raise Refusal(f"{path.name} is empty. Every table needs at least its header.")
    arrow = pq.ParquetFile(path).schema_arrow
    by_name = {
        name.casefold(): column
        for column in table.columns.values()
        for name in (column.header or column.name, *column.aliases)
    }
    for field in arrow:
        column = by_name.get(field.name.casefold())
        if column is not None and not _fits(field.type, column):
            raise Refusal(
                f"{path.name}: column {field.name} has Parquet type {field.type}, which does not"
                f" fit kind {column.kind}. Text, or the type of that kind, can be read."
            )
    return list(arrow.names)


def _fits(kind: pa.DataType, column: Column) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_text = (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    is_date = pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    is_boolean = pa.types.is_boolean(kind)
    if column.kind == "date":
        return is_text or is_date
    if column.kind == "id":
        return is_text or is_number
    if column.kind == "continuous":
        return is_text or is_number or is_boolean
    return is_text or is_number or is_date or is_boolean or pa.types.is_time(kind)
