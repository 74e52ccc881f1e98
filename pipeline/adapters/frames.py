"""What every adapter needs: the log of a source as a value, physical types, and rows that carry
only their declared columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Column, EventLog, Schema, Table

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class SourceLog:
    """The patients of a source with their events, and beside them what only the restricted round
    trip needs.

    carried: by table, for every source row what cannot be said by patients and events.
    """

    log: PatientLog
    carried: Mapping[str, pl.DataFrame]


def physical(column: Column) -> pl.DataType:
    """The type in which a column stands in a frame: ids Int64, dates Date, whole numbers Int64,
    other numbers Float64, the rest String.
    """
    if column.kind == "id":
        return pl.Int64()
    if column.kind == "date":
        return pl.Date()
    if column.kind == "continuous":
        return pl.Float64() if column.decimals else pl.Int64()
    return pl.String()


def shaped(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The declared columns of `table` in order and type; those that `rows` lacks are null."""
    return rows.select(
        cast(name, column) if name in rows.columns else pl.lit(None, physical(column)).alias(name)
        for name, column in table.columns.items()
    )


def cast(name: str, column: Column) -> pl.Expr:
    """One column in its physical type; numbers are rounded to the declared places."""
    value = (
        pl.col(name).cast(pl.Float64, strict=False).round(column.decimals)
        if column.kind == "continuous"
        else pl.col(name)
    )
    return value.cast(physical(column), strict=False).alias(name)


def in_declared_order(events: pl.DataFrame, log: EventLog) -> pl.DataFrame:
    """Events by patient, day, type as declared and code, numbered; the frame keeps further columns
    at its end.
    """
    rank = {name: position for position, name in enumerate(log.types)}
    ordered = events.with_columns(
        pl.col("type").replace_strict(rank, return_dtype=pl.Int32).alias("_rank")
    )
    ordered = ordered.sort(ID, "day", "_rank", "code", maintain_order=True, nulls_last=True).drop(
        "_rank"
    )
    ordered = ordered.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over(ID).alias("seq"))
    first = event_columns(log)
    return ordered.select(*first, *(name for name in ordered.columns if name not in first))


def event_columns(log: EventLog) -> list[str]:
    return [ID, "seq", "day", "type", "code", *log.attributes]


def complete_events(events: pl.DataFrame, log: EventLog) -> pl.DataFrame:
    """`events` with every attribute column, in its type."""
    attributes = [
        cast(name, column) if name in events.columns else pl.lit(None, physical(column)).alias(name)
        for name, column in log.attributes.items()
    ]
    return events.with_columns(
        pl.col("day").cast(pl.Int32), pl.col("code").cast(pl.String), *attributes
    )


def capped(events: pl.DataFrame, log: EventLog) -> pl.DataFrame:
    """The contribution caps, with `seq`: at most so many events of a type, at most `max_events`, by
    date; the end is always kept.
    """
    most = {
        name: log.max_events if kind.at_most is None else kind.at_most
        for name, kind in log.types.items()
    }
    events = events.filter(
        pl.int_range(pl.len()).over(ID, "type")
        < pl.col("type").replace_strict(most, return_dtype=pl.Int64)
    )
    events = events.filter(
        pl.col("type").is_in(log.terminal) | (pl.int_range(pl.len()).over(ID) < log.max_events - 1)
    )
    return events.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over(ID).alias("seq"))


def static_columns(schema: Schema, patients: pl.DataFrame) -> pl.DataFrame:
    """patient_id and the static columns, in order and type, by patient."""
    return patients.select(
        ID, *(cast(name, column) for name, column in schema.patients.items())
    ).sort(ID)


def pairs(relation: Mapping[str, Iterable[str | None]], left: str, right: str) -> pl.DataFrame:
    """A relation of codes as rows, to join with."""
    rows = [(code, value) for code, values in relation.items() for value in values]
    return pl.DataFrame(rows, schema={left: pl.String, right: pl.String}, orient="row")
