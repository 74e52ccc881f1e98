"""Writes tables partition by partition: CSV as researchers read it, Parquet with types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import polars as pl
import pyarrow.parquet as pq

from pipeline.adapters.marks import with_marks, with_marks_everywhere
from pipeline.catalog import Extract
from pipeline.schema.values import Schema, Table


def headers(table: Table) -> dict[str, str]:
    """Column name -> name in the source's files, so that code written on an extract runs on the
    source unchanged.
    """
    return {name: column.header or name for name, column in table.columns.items()}


class ParquetPart:
    """One Parquet file, written a frame at a time; the first frame gives the types."""

    def __init__(self, path: Path):
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def write(self, frame: pl.DataFrame) -> None:
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(
            table.cast(self._writer.schema) if table.schema != self._writer.schema else table
        )

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class TableWriter:
    """The tables of an extract below `folder`: `csv/<file>.csv` and `parquet/<file>.parquet`. Use
    as a context manager.
    """

    def __init__(self, schema: Schema, folder: Path):
        self._schema, self._out = schema, Extract(folder)
        self._parts: dict[str, ParquetPart] = {}
        for form in (self._out.csv, self._out.parquet):
            form.mkdir(parents=True, exist_ok=True)

    def write(self, tables: Mapping[str, pl.DataFrame]) -> None:
        for name, frame in tables.items():
            table = self._schema.tables[name]
            first = name not in self._parts
            if first:
                self._parts[name] = ParquetPart(self._out.parquet / f"{table.file}.parquet")
            self._parts[name].write(_named(with_marks(frame, table), table))
            path = self._out.csv / f"{table.file}.csv"
            with path.open("wb" if first else "ab") as file:
                _named(with_marks_everywhere(frame, table), table).write_csv(
                    file, include_header=first, date_format="%Y-%m-%d"
                )

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for part in self._parts.values():
            part.close()


def _named(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The declared columns in order, under the names that they have in the source's files."""
    return rows.select(
        pl.col(column).alias(header)
        for column, header in headers(table).items()
        if column in rows.columns
    )
