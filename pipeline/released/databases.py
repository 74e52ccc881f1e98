"""All tables of an extract in one file: DuckDB with types, and SQLite, which every language opens.
Both are written from the extract's Parquet files, never from whole tables in memory, and hold the
same views.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as kinds

from pipeline import files
from pipeline.catalog import Extract
from pipeline.schema.values import Schema

BATCH_ROWS = 50_000
MEMORY = "3GB"  # of DuckDB, which else takes most of the machine's
SQLITE_SETTINGS = (
    # of the file, so that nothing depends on how a machine's library was built
    "page_size=4096",
    "encoding='UTF-8'",
    "auto_vacuum=NONE",
    # of the connection: the file appears whole or not at all, whatever happens meanwhile
    "journal_mode=OFF",
    "synchronous=OFF",
)
# a function of SQLite, so that a query with days between two dates runs in both
JULIANDAY = """CREATE MACRO julianday(day) AS
    date_diff('day', DATE '1970-01-01', CAST(day AS DATE)) + 2440587.5"""


def write_database(schema: Schema, extract: Extract, views: Mapping[str, str]) -> None:
    """One DuckDB file with a table per Parquet file of the extract, and the views."""
    with (
        files.replacing(extract.database) as temporary,
        duckdb.connect(str(temporary), config={"memory_limit": MEMORY}) as database,
    ):
        database.execute(JULIANDAY)
        for name, path in _tables(schema, extract):
            database.execute(
                f"CREATE TABLE {_identifier(name)} AS SELECT * FROM read_parquet(?)", [str(path)]
            )
        for name, query in views.items():
            database.execute(f"CREATE VIEW {_identifier(name)} AS {query}")


def write_sqlite(schema: Schema, extract: Extract, views: Mapping[str, str]) -> None:
    """The same as one SQLite file: whole numbers INTEGER, other numbers REAL, the rest TEXT, dates
    as YYYY-MM-DD. Equal tables give equal bytes.
    """
    with (
        files.replacing(extract.sqlite) as temporary,
        closing(sqlite3.connect(temporary, isolation_level=None)) as database,
    ):
        for setting in SQLITE_SETTINGS:
            database.execute(f"PRAGMA {setting}")
        database.execute("BEGIN")
        for name, path in _tables(schema, extract):
            _copy_table(database, name, path)
        for name, query in views.items():
            database.execute(f"CREATE VIEW {_identifier(name)} AS {query}")
        database.execute("COMMIT")


def _tables(schema: Schema, extract: Extract) -> Iterator[tuple[str, Path]]:
    """Name and Parquet file of each table that the extract has."""
    for table in schema.tables.values():
        path = extract.parquet / f"{table.file}.parquet"
        if path.exists():
            yield table.file, path


def _copy_table(database: sqlite3.Connection, name: str, path: Path) -> None:
    with pq.ParquetFile(path) as source:
        columns = ", ".join(
            f"{_identifier(field.name)} {_sqlite_type(field.type)}" for field in source.schema_arrow
        )
        database.execute(f"CREATE TABLE {_identifier(name)} ({columns})")
        places = ", ".join("?" * len(source.schema_arrow))
        for batch in source.iter_batches(batch_size=BATCH_ROWS):
            database.executemany(
                f"INSERT INTO {_identifier(name)} VALUES ({places})", _rows_of(batch)
            )


def _rows_of(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """Dates as text, everything else as it is. polars makes lists seven times as fast as Arrow."""
    return zip(
        *(
            pl.Series(
                column.cast(pa.string()) if kinds.is_temporal(column.type) else column
            ).to_list()
            for column in batch.columns
        ),
        strict=True,
    )


def _sqlite_type(kind: pa.DataType) -> str:
    if kinds.is_integer(kind):
        return "INTEGER"
    return "REAL" if kinds.is_floating(kind) else "TEXT"


def _identifier(name: str) -> str:
    """A name in SQL, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'
