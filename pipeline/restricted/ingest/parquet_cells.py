"""Cells with types, as Parquet and databases hold them, as the text that a CSV file of the same
table would hold.

Every value is judged for itself: one that its type holds and no text can (a date beyond the year
9999, bytes that are no text) becomes text that does not parse, before any cast, so that it is its
patient's fault and nobody else's (privacy_rules.md 2).
"""

from __future__ import annotations

import re
from datetime import date, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.restricted.ingest.csv_lines import is_utf8
from pipeline.restricted.ingest.repairs import UNREADABLE
from pipeline.schema.source_formats import has_time
from pipeline.schema.values import ISO_DATE, Column

_EPOCH = date(1970, 1, 1)
_FIRST_DAY, _LAST_DAY = (date.min - _EPOCH).days, (date.max - _EPOCH).days
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_EXACT = 2.0**53  # above it, a floating number has lost digits


def texts(values: pa.Array, column: Column) -> tuple[pl.Series, int]:
    """One column as text [n] (null: missing), in the formats that the declaration names, and how
    many cells were read as latin-1.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_null(kind):
        return pl.repeat(None, len(values), dtype=pl.String, eager=True), 0
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        return _utf8(values)
    if pa.types.is_boolean(kind):
        return _series(pc.if_else(values, "true", "false")), 0
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _dates(values, column), 0
    if pa.types.is_time(kind):
        return _times(values), 0
    return _numbers(values, column), 0


def _series(values: pa.Array) -> pl.Series:
    return pl.Series(values.cast(pa.large_string()), dtype=pl.String)


def _utf8(values: pa.Array) -> tuple[pl.Series, int]:
    try:
        values.validate(full=True)
        return _series(values), 0
    except pa.ArrowInvalid:
        pass
    contents = values.cast(pa.large_binary()).to_pylist()
    n_latin1 = sum(cell is not None and not is_utf8(cell) for cell in contents)
    decoded = [
        None if cell is None else cell.decode("utf-8" if is_utf8(cell) else "latin-1")
        for cell in contents
    ]
    return pl.Series(decoded, dtype=pl.String), n_latin1


def _dates(values: pa.Array, column: Column) -> pl.Series:
    kind = values.type
    unit = "ms" if pa.types.is_date64(kind) else getattr(kind, "unit", "d")
    integers = values.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
    numbers = pl.Series(integers.cast(pa.int64()), dtype=pl.Int64)
    per_day = _PER_DAY.get(unit, 1)
    # a day of room at both ends: a zone may move a time into the neighbouring day
    first, last = (_FIRST_DAY + 1) * per_day, _LAST_DAY * per_day - 1
    # what nanoseconds can say lies within those days anyway
    is_in_range = numbers.is_between(max(first, -(2**63)), min(last, 2**63 - 1))
    within = pl.DataFrame({"v": numbers, "in": is_in_range}).select(
        pl.when("in").then("v").alias("v")
    )["v"]
    if per_day == 1:
        moments = within.cast(pl.Int32).cast(pl.Date).cast(pl.Datetime("us"))
    else:
        moments = _moments(within, unit)
    zone = getattr(kind, "tz", None)
    text = date_texts(moments, column) if zone is None else zoned_texts(moments, zone, column)
    return _or_unreadable(text, numbers, is_in_range)


def _or_unreadable(texts: pl.Series, numbers: pl.Series, is_in_range: pl.Series) -> pl.Series:
    """The texts, and for a stored number that no text can say a text that does not parse."""
    frame = pl.DataFrame({"t": texts, "n": numbers, "in": is_in_range})
    return frame.select(
        pl.when(pl.col("n").is_null() | pl.col("in"))
        .then("t")
        .otherwise(UNREADABLE + pl.col("n").cast(pl.String))
        .alias("t")
    )["t"]


def _moments(numbers: pl.Series, unit: str) -> pl.Series:
    """Datetime in microseconds, which hold every day that a date may have."""
    per_microsecond = {"s": 1_000_000, "ms": 1000, "us": 1, "ns": 1}[unit]
    whole = numbers // 1000 if unit == "ns" else numbers * per_microsecond
    return whole.cast(pl.Datetime("us"))


def date_texts(moments: pl.Series, column: Column) -> pl.Series:
    """As the source writes them; the time of day stands there where it is not midnight, so that it
    is not lost without a word.
    """
    if column.kind == "date" and has_time(column.date_format):
        return moments.dt.to_string(column.date_format)
    is_midnight = moments == moments.dt.truncate("1d")
    frame = pl.DataFrame(
        {
            "is_midnight": is_midnight,
            "day": moments.dt.to_string(column.date_format if column.kind == "date" else ISO_DATE),
            "time": moments.dt.to_string(" %H:%M:%S%.f"),
        }
    )
    return frame.select(
        pl.when("is_midnight").then("day").otherwise(pl.col("day") + pl.col("time")).alias("t")
    )["t"]


def zoned_texts(moments: pl.Series, zone: str, column: Column) -> pl.Series:
    """Moments with a zone: the day is that of the clock in the zone, or of UTC where the moment is
    midnight there only: a date that a program made a moment of keeps its day in summer, too.
    """
    local = _local(moments, zone)
    both = pl.DataFrame({"local": local, "utc": moments})
    is_utc_day = (pl.col("utc") == pl.col("utc").dt.truncate("1d")) & (
        pl.col("local") != pl.col("local").dt.truncate("1d")
    )
    chosen = both.select(pl.when(is_utc_day).then("utc").otherwise("local").alias("m"))["m"]
    return date_texts(chosen, column)


def _local(moments: pl.Series, zone: str) -> pl.Series:
    """The clock in the zone; of a zone that nobody knows, UTC's, in which moments are stored."""
    if offset := _OFFSET.fullmatch(zone):
        minutes = int(offset[2]) * 60 + int(offset[3])
        return moments + timedelta(minutes=-minutes if offset[1] == "-" else minutes)
    try:
        aware = moments.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        return aware.dt.replace_time_zone(None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return moments


def _times(values: pa.Array) -> pl.Series:
    unit = values.type.unit
    integer = pa.int32() if unit in ("s", "ms") else pa.int64()
    numbers = pl.Series(values.cast(integer).cast(pa.int64()), dtype=pl.Int64)
    per_day = _PER_DAY[unit]
    is_in_range = numbers.is_between(0, per_day - 1)
    nanoseconds = numbers * (86_400_000_000_000 // per_day)
    frame = pl.DataFrame({"in": is_in_range, "ns": nanoseconds})
    times = frame.select(
        pl.when("in").then(pl.col("ns").cast(pl.Time)).dt.to_string("%H:%M:%S%.f").alias("t")
    )["t"]
    return _or_unreadable(times, numbers, is_in_range)


def _numbers(values: pa.Array, column: Column) -> pl.Series:
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float32())
    if pa.types.is_floating(values.type):
        text = float_texts(pl.Series(values), column)
    else:
        text = _series(values.cast(pa.string()))
    if column.decimal != ".":
        text = text.str.replace(".", column.decimal, literal=True)
    return text


def float_texts(values: pl.Series, column: Column) -> pl.Series:
    """Shortest text that reads back as the same number; without an exponent where a number is
    whole, as a CSV writer has it. An id that is too large for its type is none.
    """
    is_whole = (values == values.floor()) & (values.abs() < 2.0**63)
    has_lost = (values.abs() >= _EXACT) & (column.kind == "id")
    frame = pl.DataFrame(
        {"v": values, "whole": is_whole.fill_null(False), "lost": has_lost.fill_null(False)}
    )
    return frame.select(
        pl.when("lost")
        .then(UNREADABLE + pl.col("v").cast(pl.String))
        .when("whole")
        .then(pl.col("v").cast(pl.Int64, strict=False).cast(pl.String) + ".0")
        .otherwise(pl.col("v").cast(pl.String))
        .alias("t")
    )["t"]
