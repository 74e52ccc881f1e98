"""Columns and waiting times as small integers over public bins, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from pipeline.refusal import Refusal
from pipeline.schema.values import Column


@dataclass(frozen=True)
class Codec:
    """One column's public cells. Code 0 is missing (or outside the declared domain), then
    categories, or atoms and bins.
    """

    column: Column
    edges: tuple[float, ...]  # of bins, ascending; empty for categories

    @property
    def is_numeric(self) -> bool:
        return self.column.kind in ("continuous", "date")

    @property
    def size(self) -> int:
        return 1 + (
            len(self.column.atoms) + len(self.edges) - 1
            if self.is_numeric
            else len(self.column.categories)
        )

    @property
    def legal(self) -> np.ndarray:
        """[size] bool: missing only where it is declared."""
        return np.array([self.column.nullable] + [True] * (self.size - 1))

    def encode(self, values: pl.Series) -> np.ndarray:
        """Codes of values [n], int16 [n]."""
        if not self.is_numeric:
            codes_by_value = {value: i + 1 for i, value in enumerate(self.column.categories)}
            return (
                values.cast(pl.String)
                .replace_strict(codes_by_value, default=0, return_dtype=pl.Int16)
                .to_numpy()
            )
        numbers = (
            (values.cast(pl.Date).cast(pl.Int32) if self.column.kind == "date" else values)
            .cast(pl.Float64)
            .to_numpy()
        )
        inside = np.clip(
            np.searchsorted(np.array(self.edges), numbers, side="right") - 1, 0, len(self.edges) - 2
        )
        codes = 1 + len(self.column.atoms) + inside
        for i, atom in enumerate(self.column.atoms):
            codes = np.where(numbers == atom, 1 + i, codes)
        return np.where(np.isnan(numbers), 0, codes).astype(np.int16)

    def decode(self, codes: np.ndarray, rng: np.random.Generator) -> pl.Series:
        """Values for codes [n], uniform within a bin, at the declared number of decimals."""
        name, column = self.column.name, self.column
        if not self.is_numeric:
            return pl.Series(
                name,
                np.array([None, *column.categories], dtype=object)[codes].tolist(),
                dtype=pl.String,
            )
        grain = 10.0**-column.decimals
        atoms, edges = np.array(column.atoms, float), np.array(self.edges)
        bins = np.clip(codes - 1 - len(atoms), 0, len(edges) - 2)
        first = np.round(edges[bins] / grain)
        # the last bin holds its upper edge
        steps = np.maximum(np.round(edges[bins + 1] / grain) - first + (bins == len(edges) - 2), 1)
        numbers = np.round(
            (first + np.floor(rng.random(len(codes)) * steps)) * grain, column.decimals
        )
        # a bin does not hold the atom within it: its neighbour in the bin stands in
        for atom in atoms:
            neighbour = np.where(atom + grain < edges[bins + 1], atom + grain, atom - grain)
            numbers = np.where(
                (numbers == atom) & (steps > 1), np.round(neighbour, column.decimals), numbers
            )
        for i, atom in enumerate(atoms):
            numbers = np.where(codes == 1 + i, atom, numbers)
        series = pl.Series(name, numbers).set(pl.Series(codes == 0), None)
        if column.kind == "date":
            return series.cast(pl.Int32).cast(pl.Date)
        return series.cast(pl.Int64) if column.decimals == 0 else series


def codec(column: Column, bins: int) -> Codec:
    """The cells of a declared column: at most `bins` bins of equal width on its declared grid.
    Raises Refusal for a numeric column without public bounds.
    """
    if column.kind not in ("continuous", "date"):
        return Codec(column, ())
    if column.lower is None or column.upper is None:
        raise Refusal(f"{column.name}: a {column.kind} column needs public bounds")
    grain = 10.0**-column.decimals if column.kind == "continuous" else 1.0
    if column.transform == "asinh":
        low, high = np.arcsinh(column.lower / column.scale), np.arcsinh(column.upper / column.scale)
        edges = np.sinh(np.linspace(low, high, bins + 1)) * column.scale
    else:
        edges = np.linspace(column.lower, column.upper, bins + 1)
    edges = np.unique(np.round(np.round(edges / grain) * grain, 9))
    return Codec(
        column,
        (
            tuple(float(e) for e in edges)
            if len(edges) > 1
            else (float(edges[0]), float(edges[0]) + grain)
        ),
    )


@dataclass(frozen=True)
class Gaps:
    """Public bins of whole days between events: bin b holds days edges[b] .. edges[b + 1] - 1, the
    last one up to `longest`.
    """

    edges: tuple[int, ...]
    longest: int

    @property
    def first(self) -> np.ndarray:
        return np.array(self.edges)

    @property
    def last(self) -> np.ndarray:
        return np.array([*(edge - 1 for edge in self.edges[1:]), self.longest])

    def encode(self, days: np.ndarray) -> np.ndarray:
        """int16 [n] for days >= 0."""
        return (np.searchsorted(self.first, days, side="right") - 1).clip(0).astype(np.int16)

    def legal(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """[n, bins] bool: bins that hold a day within [lower, upper], each [n]."""
        return (self.first <= upper[:, None]) & (self.last >= lower[:, None])

    def decode(
        self, bins: np.ndarray, lower: np.ndarray, upper: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Whole days [n] within bin and bounds; log-uniform in bins that more than span half their
        start, else uniform.
        """
        low = np.maximum(self.first[bins], lower).astype(float)
        high = np.maximum(np.minimum(self.last[bins], upper), low) + 1.0  # exclusive
        u = rng.random(len(bins))
        wide = (low > 0) & (high > 1.5 * low)
        days = np.where(
            wide, np.maximum(low, 1) * (high / np.maximum(low, 1)) ** u, low + u * (high - low)
        )
        return np.clip(np.floor(days), low, high - 1).astype(np.int32)


def gaps(edges: tuple[int, ...], lower_day: int, upper_day: int) -> Gaps:
    """The declared bins of days, as far as a pathway between these days needs them."""
    longest = max(upper_day - lower_day, 1)
    return Gaps(tuple(edge for edge in edges if edge <= longest) or (0,), longest)
