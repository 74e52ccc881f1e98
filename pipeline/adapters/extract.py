"""The tables of an extract as files."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pipeline.refusal import Refusal
from pipeline.schema.values import Schema


def read_extract(schema: Schema, folder: Path) -> dict[str, pl.DataFrame]:
    """The tables of an extract's Parquet folder under declared names; headers become column names
    again.
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
            names = {
                column.header: column.name for column in table.columns.values() if column.header
            }
            tables[table.name] = pl.read_parquet(path).rename(names, strict=False)
    if not tables:
        raise Refusal(
            f"{folder.name} holds no Parquet file of {schema.dataset}: expected"
            f" {', '.join(t.file for t in schema.tables.values())}"
        )
    return tables
