"""The shape of a table: its columns, their order and their types, against the declaration. The one
structure that may stop a whole run.
"""

from __future__ import annotations

import polars as pl

from pipeline.schema.patient_log import ID
from pipeline.schema.values import Column, Table


def shape_problems(table: Table, rows: pl.DataFrame | pl.LazyFrame) -> list[str]:
    """What is wrong with the columns of `rows`, by name and type only: no value of a row is in the
    answer. Empty: nothing.
    """
    kinds = rows.collect_schema()
    names = [name for name in kinds if name != ID or name in table.columns]
    missing = [name for name in table.columns if name not in names]
    extra = [name for name in names if name not in table.columns]
    problems = [f"column {name} is missing" for name in missing] + [
        f"column {name} is not declared" for name in extra
    ]
    if not problems and names != list(table.columns):
        problems.append("the columns are not in the declared order")
    return problems + [
        f"column {column.name} is {kinds[column.name]}, expected {column.kind}"
        for column in table.columns.values()
        if column.name in names and not has_type(kinds[column.name], column)
    ]


def has_type(kind: pl.DataType, column: Column) -> bool:
    """Whether a physical type is that of the declared kind. A column without any value may have
    none.
    """
    if kind == pl.Null:
        return column.nullable
    if column.kind == "date":
        return kind == pl.Date
    if column.kind == "id":
        return kind.is_integer() or kind == pl.String
    if column.kind == "continuous":
        return kind.is_integer() or (column.decimals > 0 and kind.is_float())
    return kind == pl.String
