"""Conditions on columns (sex=Female, age=30..50) as restrictions of what a column may be drawn
as.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.values.symbols import SYMBOL_FIELDS, Symbols
from pipeline.refusal import Refusal
from pipeline.schema.values import Column

_EPOCH = date(1970, 1, 1)
_MOST_DAYS = 700_000  # from 1970 in which every day has a date
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def restrict(domain: Domain, symbols: Symbols, condition: Any) -> tuple[Symbols, np.ndarray]:
    """(symbols that meet the condition, which symbol each came from). Shares keep their part of the
    group, so they no longer sum to 1.

    condition: a tuple (low, high), both ends included, on a numeric or ordinal column; else a
        sequence of values, None for missing. Raises Refusal for a value that the declaration does
        not know, a range that holds no declared value, and a range of values without an order.
    """
    name = domain.column.name
    if isinstance(condition, str) or not isinstance(condition, Sequence):
        raise Refusal(
            f"where {name}: give a list of values or, for numbers and dates, a tuple (low, high);"
            f" got {condition!r}"
        )
    if isinstance(condition, tuple) and len(condition) != 2:
        raise Refusal(f"where {name}: a range is (low, high), got {condition!r}")
    if not domain.is_numeric:
        values = _between(domain, *condition) if isinstance(condition, tuple) else list(condition)
        return _categories(domain, symbols, values)
    if isinstance(condition, tuple):
        low, high = (_number(domain.column, end) for end in condition)
        return _range(domain, symbols, low, high)
    return _values(domain, symbols, list(condition))


def _between(domain: Domain, low: Any, high: Any) -> list[Any]:
    """The declared values from `low` to `high`, in their declared order."""
    column = domain.column
    if column.kind != "ordinal":
        raise Refusal(
            f"where {column.name}: its values have no order, so there is no range of them; list"
            f" them: {column.name}={low},{high}"
        )
    values = list(column.categories)
    unknown = [value for value in (low, high) if value not in values]
    if unknown:
        raise Refusal(f"where {column.name}: {unknown} is not among its declared values {values}")
    between = values[values.index(low) : values.index(high) + 1]
    if not between:
        raise Refusal(f"where {column.name}: {high!r} comes before {low!r} in {values}")
    return between


def _categories(domain: Domain, symbols: Symbols, values: list[Any]) -> tuple[Symbols, np.ndarray]:
    labels = domain.labels()
    unknown = [value for value in values if value not in labels]
    if unknown or not values:
        raise Refusal(
            f"where {domain.column.name}: {unknown or 'nothing'} is not among its declared values"
            f" {labels}"
        )
    places = np.flatnonzero(
        np.isin(np.arange(len(labels)), [labels.index(value) for value in values])
    )
    return symbols.take(places), places


def _range(domain: Domain, symbols: Symbols, low: float, high: float) -> tuple[Symbols, np.ndarray]:
    column = domain.column
    assert column.lower is not None
    step = 10.0**-column.decimals
    first = np.ceil((low - column.lower) / step - 1e-6)
    last = np.floor((high - column.lower) / step + 1e-6)
    start = np.maximum(symbols.start, first)
    stop = np.minimum(symbols.stop, last + 1)
    # the last entry answers for place -1
    atoms = np.array([*(low <= atom <= high for atom in domain.atoms), False])
    is_inside = np.where(symbols.atom >= 0, atoms[symbols.atom], (stop > start) & ~symbols.missing)
    places = np.flatnonzero(is_inside)
    if not len(places):
        raise Refusal(
            f"where {column.name}: no declared value lies from {_in_words(column, low)} to"
            f" {_in_words(column, high)}; bounds are {_in_words(column, column.lower)} and"
            f" {_in_words(column, column.upper)}"
        )
    fraction = np.where(
        symbols.atom >= 0, 1.0, (stop - start) / np.maximum(symbols.stop - symbols.start, 1)
    )
    return (
        Symbols(
            group=symbols.group[places],
            share=symbols.share[places] * fraction[places],
            start=start[places].astype(np.int64),
            stop=stop[places].astype(np.int64),
            atom=symbols.atom[places],
            missing=symbols.missing[places],
        ),
        places,
    )


def _values(domain: Domain, symbols: Symbols, values: list[Any]) -> tuple[Symbols, np.ndarray]:
    """Single numbers, each a symbol of its own, and missing."""
    parts, origins = [], []
    for value in values:
        if value is None:
            if domain.missing is None:
                raise Refusal(f"where {domain.column.name}: it is never missing")
            origin = np.flatnonzero(symbols.missing)
            part = symbols.take(origin)
        else:
            number = _number(domain.column, value)
            part, origin = _range(domain, symbols, number, number)
        parts.append(part)
        origins.append(origin)
    if not parts:
        raise Refusal(f"where {domain.column.name}: an empty list admits nothing")
    fields = {
        field: np.concatenate([getattr(part, field) for part in parts]) for field in SYMBOL_FIELDS
    }
    return Symbols(**fields), np.concatenate(origins)


def _number(column: Column, value: Any) -> float:
    """A number as it is; days since 1970-01-01 for a date or, of a column of dates, an ISO date's
    text.
    """
    is_date = column.kind == "date"
    try:
        if is_date and isinstance(value, str):
            value = date.fromisoformat(value if _ISO_DATE.fullmatch(value) else "")
        number = float((value - _EPOCH).days if isinstance(value, date) else value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (isinstance(value, date) and not is_date):
        kind = "date, write YYYY-MM-DD" if is_date else "number"
        raise Refusal(f"where {column.name}: {value!r} is no {kind}")
    return number


def _in_words(column: Column, number: float | None) -> str:
    """A number or a date as a person writes it."""
    if number is None:
        return "none"
    is_day = column.kind == "date" and abs(number) < _MOST_DAYS
    return str(_EPOCH + timedelta(days=number)) if is_day else f"{number:g}"
