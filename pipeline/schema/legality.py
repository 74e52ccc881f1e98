"""What a declaration allows, asked of values as polars' expressions and series."""

from __future__ import annotations

from typing import TypeVar

import polars as pl

from pipeline.schema.values import Column, Implication

Numbers = TypeVar("Numbers", pl.Expr, pl.Series)
_SEPARATOR = "\0"


def outside(column: Column, value: pl.Expr) -> pl.Expr:
    """Whether a value that is there lies outside the declaration: not a category, or out of
    bounds. bool, never null; missing is not outside.
    """
    if column.categories:
        is_outside = ~value.cast(pl.String).is_in(list(column.categories))
    elif column.is_numeric:
        number = value.cast(pl.Date).cast(pl.Int32) if column.kind == "date" else value
        is_outside = out_of_bounds(column, number.cast(pl.Float64))
    else:
        return pl.lit(False)
    return is_outside.fill_null(False)


def out_of_bounds(column: Column, numbers: Numbers) -> Numbers:
    """Whether numbers, or days since 1970-01-01 for a date, pass the declared bounds; null for
    null.
    """
    low = -float("inf") if column.lower is None else column.lower
    high = float("inf") if column.upper is None else column.upper
    return ~numbers.is_between(low, high)


def breaches(implication: Implication) -> pl.Expr:
    """Whether a row with both columns breaks the implication: bool, never null."""
    cause = pl.col(implication.given).cast(pl.String)
    then = pl.col(implication.then).cast(pl.String)
    # no text holds the separator, so that two texts are one key
    pair = pl.concat_str([cause, then.fill_null(_SEPARATOR)], separator=_SEPARATOR)
    legal = [
        f"{value}{_SEPARATOR}{_SEPARATOR if option is None else option}"
        for value, options in implication.allowed.items()
        for option in options
    ]
    is_bound = cause.is_in(list(implication.allowed)).fill_null(False)
    return is_bound & ~pair.is_in(pl.Series(legal, dtype=pl.String)).fill_null(False)
