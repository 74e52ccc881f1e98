"""What a declaration says of how a source writes its values, checked: a format that nothing can
meet is a mistake of the declaration, not of the rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, get_args

import polars as pl

from pipeline.schema.values import ISO_DATE, Column, Unknown

# a table's own, for all of its columns that do not say otherwise
TABLE_FORMATS = ("date_format", "decimal", "missing", "unknown")
SEPARATORS = (",", ";", "\t", "|")  # the usual ones
DECIMALS = (".", ",")
_NO_SEPARATORS = "\"'.-+\r\n\v\f\0\x1c\x1d\x1e\x85\u2028\u2029\ufeff\uffff"
_LONGEST_SHEET = 31
_PARTS = ("%(-?d|-?e|F)", "%(-?m|b|B|h|F)", "%(Y|F)")  # day, month, year
_TRIALS = pl.Series([datetime(2019, 7, 31, 23, 5), datetime(1968, 12, 1)])  # a time, an old year


def separator_fault(mark: str) -> str | None:
    """What is wrong with what separates cells; None: nothing."""
    if len(mark) != 1:
        return f"{mark!r} is not one character"
    if mark.isalnum() or mark in _NO_SEPARATORS:
        return f"{mark!r} stands in cells or ends lines: no file can be separated by it"
    return None


def sheet_fault(name: str) -> str | None:
    """What is wrong with the name of an Excel sheet; None: nothing."""
    if 0 < len(name) <= _LONGEST_SHEET and not set(name) & set("[]:*?/\\") and name.isprintable():
        return None
    return f"{name!r} is no name of a sheet: at most {_LONGEST_SHEET} signs, none of [ ] : * ? / \\"


def with_formats(column: Any, formats: Mapping[str, Any]) -> Any:
    """A column's entry with the table's formats, where it fits them and has none of its own."""
    if not isinstance(column, dict):
        return column
    kind, is_nullable = column.get("kind"), bool(column.get("nullable"))
    fitting = {
        "date_format": kind == "date",
        "decimal": kind == "continuous",
        "missing": is_nullable or _fills(column),
        "unknown": is_nullable or formats.get("unknown") != "missing",
    }
    return {name: value for name, value in formats.items() if fitting[name]} | column


def _fills(column: Mapping[str, Any]) -> bool:
    """Whether a repair writes a value where one is missing."""
    repairs = column.get("repairs")
    return isinstance(repairs, list) and any(str(name).startswith("fill(") for name in repairs)


def format_problems(column: Column) -> Iterator[tuple[str, str]]:
    """(field, what is wrong with it) for each format that contradicts the column."""
    if column.date_format != ISO_DATE and column.kind != "date":
        yield "date_format", f"is of dates, and the column is {column.kind}"
    elif column.kind == "date" and not _is_date_format(column.date_format):
        yield (
            "date_format",
            f"{column.date_format!r} does not give a date and read it back: write day, month and"
            ' year in the directives of strptime, such as "%d/%m/%Y" for 31/07/2019',
        )
    if column.decimal not in DECIMALS:
        yield "decimal", f"{column.decimal!r} is neither a point nor a comma"
    if column.booleans and (
        len(set(column.booleans)) != 2 or not set(column.booleans) <= set(column.categories)
    ):
        yield "booleans", "must be two categories: the one for true, then the one for false"
    yield from _unknown_problems(column)


def _unknown_problems(column: Column) -> Iterator[tuple[str, str]]:
    if column.unknown not in get_args(Unknown):
        yield "unknown", f"{column.unknown!r} is none of {', '.join(get_args(Unknown))}"
    elif column.unknown == "missing" and not column.nullable:
        yield "unknown", "missing needs a column that may be missing: add `nullable: true`"
    elif column.unknown == "other" and column.other not in column.categories:
        yield (
            "unknown",
            "other needs the category that takes what is not declared: add `other:` with one of"
            " the categories",
        )
    elif column.unknown != "other" and column.other is not None:
        yield "other", "is the category for `unknown: other`, which is not declared"


def _is_date_format(text: Any) -> bool:
    """Whether dates written so, with a century, can be read back."""
    if not isinstance(text, str) or not all(re.search(part, text) for part in _PARTS):
        return False
    try:
        return bool((read_dates(_TRIALS.dt.to_string(text), text) == _TRIALS.dt.date()).all())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False


def has_time(date_format: str) -> bool:
    """Whether a date written so stands with a time of day."""
    return any(directive in date_format for directive in ("%H", "%I", "%T", "%R", "%X"))


def times_of_day(texts: pl.Series, date_format: str) -> int:
    """How many of these moments are not at midnight."""
    moments = texts.str.to_datetime(date_format, strict=False, time_unit="us")
    return int((moments != moments.dt.truncate("1d")).sum())


def read_dates(texts: pl.Series, date_format: str) -> pl.Series:
    """The days that texts in this format name, Date [n]; null where they do not parse."""
    if has_time(date_format):
        return texts.str.to_datetime(date_format, strict=False, time_unit="us").dt.date()
    return texts.str.to_date(date_format, strict=False)
