"""Conditions on columns (sex=Female, age=30..50) as restrictions of what a column may be drawn
as.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.draw_plan import MISSING, Condition
from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.values.symbols import SYMBOL_FIELDS, Symbols
from pipeline.plan_slices import labels_of, number_text, ranges_of
from pipeline.refusal import Refusal

Part = tuple[Symbols, np.ndarray]


def restrict(domain: Domain, symbols: Symbols, condition: Condition) -> Part:
    """(symbols that meet the condition, which symbol each came from). Shares keep their part of the
    group, so they no longer sum to 1.

    Raises Refusal for a value that the declaration does not know, a range that holds no declared
    value, and a range of values without an order.
    """
    if not domain.is_numeric:
        allowed = labels_of(domain.column, condition)
        places = np.flatnonzero([label in allowed for label in domain.labels()])
        return symbols.take(places), places
    parts = list(_parts(domain, symbols, condition))
    fields = {
        field: np.concatenate([getattr(part, field) for part, _ in parts])
        for field in SYMBOL_FIELDS
    }
    return Symbols(**fields), np.concatenate([origin for _, origin in parts])


def _parts(domain: Domain, symbols: Symbols, condition: Condition) -> Iterator[Part]:
    """Of a number: a range, or each value by itself, in the order in which they are named."""
    ranges = iter(ranges_of(domain.column, condition)[0])
    for value in (condition,) if isinstance(condition, str) else condition:
        if value == MISSING:
            origin = np.flatnonzero(symbols.missing)
            yield symbols.take(origin), origin
        else:
            yield _range(domain, symbols, *next(ranges))


def _range(domain: Domain, symbols: Symbols, low: float, high: float) -> Part:
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
            f"where {column.name}: no declared value lies from {number_text(column, low)} to"
            f" {number_text(column, high)}; bounds are {number_text(column, column.lower)} and"
            f" {number_text(column, column.upper)}"
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
