"""Conditions on columns, "women of 30 to 50", as restrictions of what a column may be drawn as."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from pipeline.models.table.domain.bins import Symbols
from pipeline.models.table.domain.encode import Domain
from pipeline.refusal import Refusal

_EPOCH = date(1970, 1, 1)


def conditions(prompts: Sequence[str]) -> dict[str, list[str] | tuple[str, str]]:
    """`sex=Female,Male` as a list of values, `age=30..50` as a range. Raises ValueError for what is
    neither.
    """
    found: dict[str, list[str] | tuple[str, str]] = {}
    for text in prompts:
        column, equals, values = text.partition("=")
        if not equals or not column or not values:
            raise Refusal(f"--where {text!r}: write COLUMN=VALUE,VALUE or COLUMN=LOW..HIGH")
        low, dots, high = values.partition("..")
        found[column] = (low, high) if dots else values.split(",")
    return found


def restrict(cells: Domain, symbols: Symbols, condition: Any) -> tuple[Symbols, np.ndarray]:
    """(symbols that meet the condition, which symbol each came from). Shares keep their part of the
    group, so they no longer sum to 1.

    condition: a tuple (low, high), both ends included, on a numeric column; else a sequence of
        values, None for missing. Raises ValueError for a value that the declaration does not know,
        or a range that holds no declared value.
    """
    name = cells.column.name
    if isinstance(condition, str) or not isinstance(condition, Sequence):
        raise Refusal(
            f"where {name}: give a list of values or, for numbers and dates, a tuple (low, high);"
            f" got {condition!r}"
        )
    if not cells.is_numeric:
        return _categories(cells, symbols, list(condition))
    if isinstance(condition, tuple):
        if len(condition) != 2:
            raise Refusal(f"where {name}: a range is (low, high), got {condition!r}")
        return _range(cells, symbols, _number(name, condition[0]), _number(name, condition[1]))
    return _values(cells, symbols, list(condition))


def _categories(cells: Domain, symbols: Symbols, wanted: list[Any]) -> tuple[Symbols, np.ndarray]:
    labels = cells.labels()
    unknown = [value for value in wanted if value not in labels]
    if unknown or not wanted:
        raise Refusal(
            f"where {cells.column.name}: {unknown or 'nothing'} is not among its declared values"
            f" {labels}"
        )
    kept = np.flatnonzero(
        np.isin(np.arange(len(labels)), [labels.index(value) for value in wanted])
    )
    return _take(symbols, kept), kept


def _range(cells: Domain, symbols: Symbols, low: float, high: float) -> tuple[Symbols, np.ndarray]:
    column = cells.column
    assert column.lower is not None
    step = 10.0**-column.decimals
    first = np.ceil((low - column.lower) / step - 1e-6)
    last = np.floor((high - column.lower) / step + 1e-6)
    start = np.maximum(symbols.start, first)
    stop = np.minimum(symbols.stop, last + 1)
    # the last entry answers for place -1
    atoms = np.array([*(low <= atom <= high for atom in cells.atoms), False])
    inside = np.where(symbols.atom >= 0, atoms[symbols.atom], (stop > start) & ~symbols.missing)
    kept = np.flatnonzero(inside)
    if not len(kept):
        raise Refusal(
            f"where {column.name}: no declared value lies from {low} to {high}; bounds are"
            f" {column.lower} and {column.upper}"
        )
    part = np.where(
        symbols.atom >= 0, 1.0, (stop - start) / np.maximum(symbols.stop - symbols.start, 1)
    )
    return (
        Symbols(
            group=symbols.group[kept],
            share=symbols.share[kept] * part[kept],
            start=start[kept].astype(np.int64),
            stop=stop[kept].astype(np.int64),
            atom=symbols.atom[kept],
            missing=symbols.missing[kept],
        ),
        kept,
    )


def _values(cells: Domain, symbols: Symbols, wanted: list[Any]) -> tuple[Symbols, np.ndarray]:
    """Single numbers, each a symbol of its own, and missing."""
    parts, origins = [], []
    for value in wanted:
        if value is None:
            if cells.missing is None:
                raise Refusal(f"where {cells.column.name}: it is never missing")
            found, origin = (
                _take(symbols, np.flatnonzero(symbols.missing)),
                np.flatnonzero(symbols.missing),
            )
        else:
            number = _number(cells.column.name, value)
            found, origin = _range(cells, symbols, number, number)
        parts.append(found)
        origins.append(origin)
    if not parts:
        raise Refusal(f"where {cells.column.name}: an empty list admits nothing")
    fields = {
        field: np.concatenate([getattr(part, field) for part in parts])
        for field in ("group", "share", "start", "stop", "atom", "missing")
    }
    return Symbols(**fields), np.concatenate(origins)


def _number(name: str, value: Any) -> float:
    """Days since 1970-01-01 for a date or an ISO date's text."""
    if isinstance(value, str) and "-" in value[1:]:
        value = date.fromisoformat(value)
    if isinstance(value, date):
        return float((value - _EPOCH).days)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Refusal(f"where {name}: {value!r} is neither a number nor a date") from None


def _take(symbols: Symbols, kept: np.ndarray) -> Symbols:
    return Symbols(
        group=symbols.group[kept],
        share=symbols.share[kept],
        start=symbols.start[kept],
        stop=symbols.stop[kept],
        atom=symbols.atom[kept],
        missing=symbols.missing[kept],
    )
