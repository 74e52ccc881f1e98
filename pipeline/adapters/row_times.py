"""Times of rows as days of the log, and days as times: dates from the patient's day 0, or numbers
of days, weeks, months or years since it.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.schema.event_source import UNITS, EventSource
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Column, EventLog

ROW = "_row"
_ORIGIN = "_origin"


def read_start(
    source: EventSource, rows: pl.DataFrame, patients: pl.DataFrame, log: EventLog
) -> pl.DataFrame:
    """Every row of a patient as the event that it begins with: patient_id, day, type, code, ROW and
    the attributes that its type has.
    """
    day = pl.lit(0, pl.Int64) if source.time is None else _day(source, source.time)
    return _events(rows, patients, log, day, _type(source), source.code)


def read_stop(
    source: EventSource, rows: pl.DataFrame, patients: pl.DataFrame, log: EventLog
) -> pl.DataFrame:
    """As `read_start`, of the ends of intervals; a row without an end is none."""
    assert source.stop is not None and source.time is not None
    day = (
        _day(source, source.until)
        if source.until is not None
        else _day(source, source.time) + _rounded(source.stop, source.unit)
    )
    ended = rows.filter(pl.col(source.stop).is_not_null())
    return _events(ended, patients, log, day, pl.lit(source.closes, pl.String), None)


def date_of(log: EventLog, day: pl.Expr, origin: pl.Expr) -> pl.Expr:
    """The date of a day of the log."""
    return (origin.cast(pl.Int32) + day).cast(pl.Date)


def number_of(day: pl.Expr, unit: str, column: Column) -> pl.Expr:
    """Days as a number of units, with the decimals of its column."""
    return (day / UNITS[unit]).round(column.decimals)


def _events(
    rows: pl.DataFrame,
    patients: pl.DataFrame,
    log: EventLog,
    day: pl.Expr,
    kind: pl.Expr,
    code: str | None,
) -> pl.DataFrame:
    origin = pl.lit(None, pl.Date) if log.origin is None else pl.col(log.origin)
    attributes = [name for name in log.attributes if name in rows.columns]
    with_codes = [name for name, one in log.types.items() if one.codes]
    events = rows.join(
        patients.select(ID, origin.alias(_ORIGIN)), on=ID, how="inner", maintain_order="left"
    ).select(ID, day.alias("day"), kind.alias("type"), *_code(code), ROW, *attributes)
    return events.with_columns(
        pl.when(pl.col("type").is_in(with_codes)).then(pl.col("code")).alias("code"),
        *(_of_types(log, name) for name in attributes),
    )


def _code(column: str | None) -> Sequence[pl.Expr]:
    code = pl.lit(None, pl.String) if column is None else pl.col(column).cast(pl.String)
    return (code.alias("code"),)


def _of_types(log: EventLog, attribute: str) -> pl.Expr:
    names = [name for name, one in log.types.items() if attribute in one.attributes]
    return pl.when(pl.col("type").is_in(names)).then(pl.col(attribute)).alias(attribute)


def _type(source: EventSource) -> pl.Expr:
    if source.status is not None:
        return (
            pl.col(source.status)
            .cast(pl.String)
            .replace_strict(dict(source.codes or {}), default=None, return_dtype=pl.String)
        )
    if source.type is not None:
        return pl.col(source.type).cast(pl.String)
    return pl.lit(source.constant, pl.String)


def _day(source: EventSource, column: str) -> pl.Expr:
    if source.date is not None:
        return (pl.col(column) - pl.col(_ORIGIN)).dt.total_days()
    return _rounded(column, source.unit)


def _rounded(column: str, unit: str) -> pl.Expr:
    """Whole days, half a day up (event_source.DayScale.days)."""
    days = (pl.col(column).cast(pl.Float64) * UNITS[unit] + 0.5).floor()
    return days.cast(pl.Int64, strict=False)
