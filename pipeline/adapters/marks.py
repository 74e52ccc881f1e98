"""How a missing value leaves: as the mark by which the source says that it is missing, so that code
written on an extract finds in the source what it looks for.

Inside the pipeline a missing value is null. Only what is written for researchers has the marks.
"""

from __future__ import annotations

from typing import TypeVar

import polars as pl

from pipeline.adapters.frames import physical
from pipeline.schema.values import Column, Table

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def mark(column: Column) -> str:
    """What stands in a cell of this column where its value is missing: the first of the declared
    marks. Empty: the cell is empty. A carried column, of which nothing leaves, is empty throughout.
    """
    return column.missing[0] if column.missing and column.role != "carried" else ""


def with_marks(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Null as the mark, in columns of text. A column of another type has no place for it."""
    return rows.with_columns(
        pl.col(name).fill_null(mark(column))
        for name, column in table.columns.items()
        if name in rows.columns and mark(column) and physical(column) == pl.String
    )


def with_marks_everywhere(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """As `with_marks`; numbers and dates that may be marked are text then, as in a CSV file."""
    return with_marks(rows, table).with_columns(
        pl.col(name).cast(pl.String).fill_null(mark(column))
        for name, column in table.columns.items()
        if name in rows.columns and mark(column) and physical(column) != pl.String
    )


def without_marks(rows: Frame, table: Table) -> Frame:
    """The mark as null: the way back."""
    kinds = rows.collect_schema()
    return rows.with_columns(
        pl.when(pl.col(name) != mark(column)).then(name).alias(name)
        for name, column in table.columns.items()
        if name in kinds and mark(column) and kinds[name] == pl.String
    )
