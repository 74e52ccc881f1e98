"""The tables of a PostgreSQL database as a source.

The server copies each table out as CSV, which is read as files of CSV are; values with types
(dates, numbers, truth values) are then written as the declaration says. All tables are read in one
read-only transaction, as they were at one moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import polars as pl
from psycopg import sql

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import parquet_cells, quoted_rows
from pipeline.restricted.ingest.arrow_source import fits, type_refusal
from pipeline.restricted.ingest.blocks import Block
from pipeline.restricted.ingest.csv_source import block_of, header_of
from pipeline.restricted.ingest.database_tables import chosen_tables
from pipeline.restricted.ingest.repairs import UNREADABLE
from pipeline.restricted.ingest.source_header import Source, headers, places
from pipeline.runs import addresses
from pipeline.runs.addresses import Session, reading
from pipeline.schema.values import Column, Schema, Table

# Stored rows only: of a view one row may stop the query, and a foreign table holds the rows of
# another database, which another population may have claimed.
_TABLES = """
SELECT n.nspname, c.relname, coalesce(n.nspname = current_schema(), false)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm')
  AND NOT EXISTS (
    WITH RECURSIVE parts AS (
      SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = c.oid
      UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN parts p ON i.inhparent = p.inhrelid
    ) SELECT 1 FROM parts JOIN pg_catalog.pg_class f ON f.oid = inhrelid WHERE f.relkind = 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')
ORDER BY 1, 2
"""
# a domain is of the type that it is made of
_COLUMNS = """
WITH RECURSIVE column_types AS (
  SELECT a.attnum, a.attname, a.atttypid AS kind, format_type(a.atttypid, a.atttypmod) AS words
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT d.attnum, d.attname, t.typbasetype, d.words
  FROM column_types d JOIN pg_catalog.pg_type t ON t.oid = d.kind WHERE t.typtype = 'd'
)
SELECT d.attname, t.typname, t.typcategory, d.words
FROM column_types d JOIN pg_catalog.pg_type t ON t.oid = d.kind
WHERE t.typtype <> 'd' ORDER BY d.attnum
"""
_WORDS = {
    **dict.fromkeys(("int2", "int4", "int8", "numeric", "float4", "float8"), "number"),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), "date"),
    **dict.fromkeys(("time", "timetz"), "time"),
    **dict.fromkeys(("uuid", "citext"), "text"),
    "bool": "boolean",
}
_MOMENT = r"^(\d{4}-\d{2}-\d{2})(?: (\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?))?(?:\+00)?$"


@dataclass(frozen=True)
class _Typed:
    """A column of the database. `word`: what sort of value it holds (arrow_source.kind_word)."""

    name: str
    type_name: str
    word: str
    words: str  # the type, for messages


class PostgresTables:
    """An open database."""

    def __init__(self, name: str, session: Session):
        self._name, self._session = name, session

    @classmethod
    @contextmanager
    def opened(cls, address: str) -> Iterator[PostgresTables]:
        """Raises Refusal where the server does not answer."""
        where = addresses.parsed(address)
        with addresses.session(where) as session:
            _refuse_encoding(where.database, session)
            yield cls(where.database, session)

    def sources(self, schema: Schema) -> dict[str, Source]:
        """Each declared table. Raises Refusal naming every one that is missing."""
        with reading(self._name):
            tables = self._session.connection.execute(_TABLES).fetchall()
        first = next((folder for folder, _, is_first in tables if is_first), None)
        place_of = chosen_tables(schema, self._name, [(one[0], one[1]) for one in tables], first)
        return {name: self._open(schema.tables[name], *place_of[name]) for name in place_of}

    def _open(self, table: Table, folder: str, inside: str) -> Source:
        name = f"{self._name}, table {inside}"
        with reading(name):
            rows = self._session.connection.execute(_COLUMNS, (folder, inside)).fetchall()
        columns = [_typed(*row) for row in rows]
        by_name = {one: column for column in table.columns.values() for one in headers(column)}
        for typed in columns:
            column = by_name.get(typed.name.casefold())
            if column is not None and not fits(typed.word, column):
                raise type_refusal(name, typed.name, f"PostgreSQL type {typed.words}", column)
        positions, aliases = places(table, name, [typed.name for typed in columns])
        chosen = [columns[index] for index in positions.values()]

        def blocks(max_cell_bytes: int) -> Iterator[Block]:
            with reading(name):
                yield from self._blocks(table, (folder, inside), chosen, max_cell_bytes, name)

        return Source(table, name, positions, aliases, blocks)

    def _blocks(
        self,
        table: Table,
        place: tuple[str, str],
        chosen: list[_Typed],
        max_cell_bytes: int,
        name: str,
    ) -> Iterator[Block]:
        copy = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')").format(
            sql.SQL(", ").join(_expression(typed, max_cell_bytes) for typed in chosen),
            sql.Identifier(*place),
        )
        positions = {column: index for index, column in enumerate(table.columns)}
        header = header_of(table, [one.name for one in chosen], positions, max_cell_bytes)
        header = replace(header, longest=quoted_rows.LONGEST_ROW)  # cells have their own limit
        with self._session.connection.cursor().copy(copy) as rows:
            for parsed in quoted_rows.parsed_blocks(_Stream(iter(rows)), header, name):
                block = block_of(parsed, positions)
                cells = [
                    _cells_of(block.cells[column.name], typed, column, self._session.zone)
                    for typed, column in zip(chosen, table.columns.values(), strict=True)
                ]
                yield replace(block, cells=pl.DataFrame(cells), lines=None, broken_lines=None)


def _refuse_encoding(name: str, session: Session) -> None:
    """A server that has to convert text stops at the first row that it cannot convert."""
    with reading(name):
        [encoding] = session.connection.execute("SHOW server_encoding").fetchone() or ("",)
    if encoding != "UTF8":
        raise Refusal(
            f"{name} is in {encoding}, and only databases in UTF8 are read: one cell that cannot be"
            " converted would stop the whole run. Export the tables as CSV, and declare their"
            " `encoding:`."
        )


class _Stream:
    """What the server copies out, as a stream of bytes."""

    def __init__(self, rows: Iterator[bytes | bytearray | memoryview]):
        self._rows, self._rest = rows, bytearray()

    def read(self, size: int, /) -> bytes:
        while len(self._rest) < size and (row := next(self._rows, None)) is not None:
            self._rest += row
        chunk = bytes(self._rest[:size])
        del self._rest[:size]
        return chunk

    def seek(self, position: int, /) -> int:
        raise NotImplementedError("a table is read once")


def _typed(name: str, type_name: str, category: str, words: str) -> _Typed:
    is_text = category in ("S", "E") and type_name != "char"
    return _Typed(name, type_name, _WORDS.get(type_name, "text" if is_text else "other"), words)


def _expression(typed: _Typed, max_cell_bytes: int) -> sql.Composable:
    """A text as long as a cell may be and one more, so that a row has a largest size."""
    column = sql.Identifier(typed.name)
    if typed.word != "text":
        return column
    return sql.SQL("left({}::text, {})").format(column, sql.Literal(max_cell_bytes + 1))


def _cells_of(cells: pl.Series, typed: _Typed, column: Column, zone: str) -> pl.Series:
    """Cells as the declaration writes values of their type."""
    if typed.word == "boolean":
        return cells.replace({"t": "true", "f": "false"})
    if typed.word == "date":
        is_zoned = typed.type_name == "timestamptz"
        return _dates(cells, column, zone if is_zoned else None)
    if typed.word != "number":
        return cells
    if typed.type_name in ("float4", "float8"):
        number = cells.cast(pl.Float64, strict=False)
        texts = parquet_cells.float_texts(number, column)
        cells = (
            pl.DataFrame({"n": number, "t": texts, "c": cells})
            .select(pl.when(pl.col("n").is_finite()).then("t").otherwise("c").alias("t"))["t"]
            .alias(cells.name)
        )
    decimal = column.decimal if column.kind == "continuous" else "."
    return cells if decimal == "." else cells.str.replace(".", decimal, literal=True)


def _dates(cells: pl.Series, column: Column, zone: str | None) -> pl.Series:
    """Texts of dates and moments in the declared format; what no calendar of ours holds (infinity,
    years before Christ) does not parse.
    """
    parts = cells.str.extract_groups(_MOMENT).struct
    text = pl.DataFrame([parts.field("1").alias("day"), parts.field("2").alias("time")])
    moments = text.select(
        (pl.col("day") + " " + pl.col("time").fill_null("00:00:00"))
        .str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
        .alias("m")
    )["m"]
    texts = (
        parquet_cells.date_texts(moments, column)
        if zone is None
        else parquet_cells.zoned_texts(moments, zone, column)
    )
    return pl.DataFrame({"t": texts, "c": cells}).select(
        pl.when(pl.col("t").is_null() & pl.col("c").is_not_null())
        .then(UNREADABLE + pl.col("c"))
        .otherwise("t")
        .alias(cells.name)
    )[cells.name]
