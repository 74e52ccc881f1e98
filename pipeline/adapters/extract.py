"""The tables of an extract as files."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pipeline.adapters.marks import Frame, without_marks
from pipeline.refusal import Refusal
from pipeline.schema.values import Schema, Table


def scan_extract(schema: Schema, folder: Path) -> dict[str, pl.LazyFrame]:
    """The tables of an extract's Parquet folder under declared names (`as_declared`); none is read
    yet.
    """
    tables = {}
    for table in schema.tables.values():
        path = next(
            (
                path
                for path in (folder / f"{table.file}.parquet", folder / f"{table.name}.parquet")
                if path.exists()
            ),
            None,
        )
        if path is not None:
            tables[table.name] = as_declared(table, pl.scan_parquet(path))
    if not tables:
        raise Refusal(
            f"{folder.name} holds no Parquet file of {schema.dataset}: expected"
            f" {', '.join(t.file for t in schema.tables.values())}"
        )
    return tables


def read_table(table: Table, path: Path, n_rows: int | None = None) -> pl.DataFrame:
    """The first rows of a Parquet file of an extract, or all (`as_declared`)."""
    return as_declared(table, pl.read_parquet(path, n_rows=n_rows))


def as_declared(table: Table, rows: Frame) -> Frame:
    """Rows of an extract's Parquet file: headers become column names again, marks of missing become
    null.
    """
    names = {column.header: column.name for column in table.columns.values() if column.header}
    return without_marks(rows.rename(names, strict=False), table)
