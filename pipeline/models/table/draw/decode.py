"""Drawn symbols as declared values: strings, numbers or dates, null for missing."""

from __future__ import annotations

import numpy as np
import polars as pl

from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.values.symbols import Symbols


def decode(
    domain: Domain,
    symbols: Symbols,
    rows: np.ndarray,
    positions: np.ndarray | None,
    origin: np.ndarray,
) -> pl.Series:
    """A column of rows as declared values, null for missing.

    rows: symbol of each row, int64 [n]. positions: float64 [n] in [0, 1), place within a numeric
    symbol; None for categories. origin: int64 [symbols], the unconditioned symbol that each one
    comes from.
    """
    column = domain.column
    if not domain.is_numeric:
        labels = pl.Series(domain.labels(), dtype=pl.String)
        return labels.gather(pl.Series(origin[rows])).alias(column.name)
    assert positions is not None
    values = pl.Series(column.name, numeric_values(domain, symbols, rows, positions))
    if symbols.missing.any():
        values = values.fill_nan(None)
    if column.kind == "date":
        return values.cast(pl.Int32).cast(pl.Date)
    return values.cast(pl.Int64) if column.decimals == 0 else values


def numeric_values(
    domain: Domain, symbols: Symbols, rows: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    """Numeric values, float64 [n], by their positions in [0, 1) over the lattice points of the
    range; atoms exact, NaN for missing. rows: symbol of each row, int64 [n].
    """
    width = (symbols.stop - symbols.start)[rows]
    points = symbols.start[rows] + np.floor(positions * width).astype(np.int64)
    values = domain.values(points)
    if domain.atoms:
        atom = symbols.atom[rows]
        values = np.where(atom >= 0, np.array(domain.atoms)[atom], values)
    if symbols.missing.any():
        values[symbols.missing[rows]] = np.nan
    return values
