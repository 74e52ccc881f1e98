"""What every adapter needs: the log of a source as a value, physical types, and rows that carry
only their declared columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Column, EventLog, Schema, Table

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class SourceLog:
    """The patients of a source with their events, and beside them what only the restricted round
    trip needs.

    carried: by table, for every source row what cannot be said by patients and events. left_out:
        patient_id, reason and n: rows or events that the log has no place for. moved: the same, of
        events that stand on another day, or as another end, than in the source.
    """

    log: PatientLog
    carried: Mapping[str, pl.DataFrame]
    left_out: pl.DataFrame = field(default_factory=lambda: no_losses())
    moved: pl.DataFrame = field(default_factory=lambda: no_losses())


def no_losses() -> pl.DataFrame:
    """patient_id, reason, n: no row."""
    return pl.DataFrame(schema={ID: pl.Int64, "reason": pl.String, "n": pl.UInt32})


def losses(rows: pl.DataFrame, reason: str | pl.Expr) -> pl.DataFrame:
    """patient_id, reason, n of the rows that are lost."""
    why = pl.lit(reason) if isinstance(reason, str) else reason
    return (
        rows.select(ID, why.alias("reason"))
        .group_by(ID, "reason")
        .agg(pl.len().cast(pl.UInt32).alias("n"))
    )


def physical(column: Column) -> pl.DataType:
    """The type in which a column stands in a frame: ids Int64 or String, as declared, dates Date,
    whole numbers Int64, other numbers Float64, the rest String.
    """
    if column.kind == "id":
        return pl.Int64() if column.integer else pl.String()
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
    """`events` with every attribute column, in its type. A code that the attribute does not have
    (an unmapped one of the registry's lists) is missing: the log is coarser than the tables.
    """
    attributes = [
        _legal_code(name, column)
        if name in events.columns
        else pl.lit(None, physical(column)).alias(name)
        for name, column in log.attributes.items()
    ]
    return events.with_columns(
        pl.col("day").cast(pl.Int32), pl.col("code").cast(pl.String), *attributes
    )


def _legal_code(name: str, column: Column) -> pl.Expr:
    value = cast(name, column)
    if not column.is_categorical:
        return value
    return pl.when(value.is_in(list(column.categories))).then(value).alias(name)


ABOVE_AT_MOST, ABOVE_MAX_EVENTS = "above at_most of its type", "above max_events"


def within_caps(events: pl.DataFrame, log: EventLog) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The contribution caps, with `seq`: at most so many events of a type, at most `max_events`, by
    date; the end is always kept. Beside the events what was cut (`losses`).
    """
    most = {name: kind.at_most for name, kind in log.types.items() if kind.at_most is not None}
    limit = pl.col("type").replace_strict(most, default=None, return_dtype=pl.Int64)
    is_within = (pl.int_range(pl.len()).over(ID, "type") < limit).fill_null(True)
    of_types = events.filter(is_within)
    is_first = pl.col("type").is_in(log.terminal) | (
        pl.int_range(pl.len()).over(ID) < log.max_events - 1
    )
    remaining = of_types.filter(is_first)
    cut = pl.concat(
        [
            losses(events.filter(~is_within), ABOVE_AT_MOST),
            losses(of_types.filter(~is_first), ABOVE_MAX_EVENTS),
        ]
    )
    return remaining.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over(ID).alias("seq")), cut


def ends_within_days(ends: pl.DataFrame, log: EventLog) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ends of pathways within the days of the log, and which were moved (`losses`). Who ends after
    the last day is censored there, where the declaration says how: nothing is known beyond it.
    """
    is_late, is_early = pl.col("day") > log.upper_day, pl.col("day") < log.lower_day
    censored = _censored_end(log)
    is_open = pl.col("type").is_in(list(log.censoring)) | pl.col("code").is_in(list(log.censoring))
    moved = pl.concat(
        [
            losses(ends.filter(is_early), "end before the first day, moved to it"),
            losses(
                ends.filter(is_late),
                "end after the last day, moved to it"
                if censored is None
                else "end after the last day, censored there",
            ),
        ]
    )
    if censored is not None:
        kind, code = censored
        values = ends.columns
        is_cut = (is_late & ~is_open.fill_null(False)).fill_null(False)
        ends = ends.with_columns(
            *(
                pl.when(is_cut).then(pl.lit(None, ends.schema[name])).otherwise(name).alias(name)
                for name in log.attributes
                if name in values
            ),
            pl.when(is_cut).then(pl.lit(kind)).otherwise("type").alias("type"),
            pl.when(is_cut).then(pl.lit(code, pl.String)).otherwise("code").alias("code"),
        )
    return ends.with_columns(pl.col("day").clip(log.lower_day, log.upper_day)), moved


def _censored_end(log: EventLog) -> tuple[str, str | None] | None:
    """(type, code) of the end that says only that observation ended; None: none is declared."""
    if log.observation_end is not None:
        return log.observation_end
    for name in log.censoring:
        if name in log.types:
            return name, None
        kind = next((n for n in log.terminal if name in log.types[n].codes), None)
        if kind is not None:
            return kind, name
    return None


def static_columns(schema: Schema, patients: pl.DataFrame) -> pl.DataFrame:
    """patient_id and the static columns, in order and type, by patient."""
    return patients.select(
        ID, *(cast(name, column) for name, column in schema.patients.items())
    ).sort(ID)


def pairs(relation: Mapping[str, Iterable[str | None]], left: str, right: str) -> pl.DataFrame:
    """A relation of codes as rows, to join with."""
    rows = [(code, value) for code, values in relation.items() for value in values]
    return pl.DataFrame(rows, schema={left: pl.String, right: pl.String}, orient="row")
