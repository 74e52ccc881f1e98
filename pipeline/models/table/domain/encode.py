"""Columns as integer codes over public cells: categories, or the leaves of a grid between declared
bounds.

Cells come from the declaration alone (privacy_rules.md 6). A numeric value lives on a lattice,
`lower + k * 10**-decimals`; a leaf is a range of k. Declared atoms and missing are cells of their
own behind the leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from pipeline.refusal import Refusal
from pipeline.schema.values import Column

BRANCHING = 4
# of a number whose range is learned: neighbouring edges are then 4% apart, over 18 powers of ten
LEARN_LEAVES = BRANCHING**5


@dataclass(frozen=True, eq=False)
class Domain:
    """The public cells of one column: [0, leaves) ordinary ones, then the atoms, then missing where
    nullable.
    """

    column: Column
    leaves: int
    starts: np.ndarray  # int64 [leaves], first lattice point of a leaf; empty for categories
    stops: np.ndarray  # int64 [leaves], one past the last

    @property
    def is_numeric(self) -> bool:
        return self.column.is_numeric

    @property
    def is_ordered(self) -> bool:
        return self.is_numeric or self.column.kind == "ordinal"

    @property
    def size(self) -> int:
        return self.leaves + len(self.atoms) + self.column.nullable

    @property
    def atoms(self) -> tuple[float, ...]:
        return self.column.atoms if self.is_numeric else ()

    @property
    def missing(self) -> int | None:
        return self.size - 1 if self.column.nullable else None

    @property
    def depth(self) -> int:
        """Levels of the 4-ary tree over the leaves below its root; 0 for categories."""
        depth = 0
        while self.is_numeric and BRANCHING**depth < self.leaves:
            depth += 1
        return depth

    def values(self, lattice: np.ndarray) -> np.ndarray:
        """Lattice points as float64 values, rounded to the declared decimals."""
        assert self.column.lower is not None
        return np.round(
            self.column.lower + lattice * 10.0**-self.column.decimals, self.column.decimals
        )

    def lattice(self, values: np.ndarray) -> np.ndarray:
        """Nearest lattice points, int64, clipped into the bounds; NaN goes to the lower bound."""
        assert self.column.lower is not None and self.column.upper is not None
        values = np.nan_to_num(
            values, nan=self.column.lower, posinf=self.column.upper, neginf=self.column.lower
        )
        clipped = np.clip(values, self.column.lower, self.column.upper)
        return np.rint((clipped - self.column.lower) * 10.0**self.column.decimals).astype(np.int64)

    def breaks(self) -> list[int]:
        """Leaves at which a bin begins: the first that holds no value below a declared break."""
        points = self.lattice(np.array(self.column.breaks, float))
        leaves = {int(leaf) for leaf in np.searchsorted(self.starts, points)}
        return sorted(leaves - {0, self.leaves})

    def labels(self) -> list[str | None]:
        """Names of the cells of a categorical column; None is missing."""
        names: list[str | None] = list(self.column.categories)
        return [*names, None] if self.column.nullable else names


def column_domain(column: Column, max_leaves: int) -> Domain:
    """The public cells of a modelled column: categories, or at most about `max_leaves` leaves
    between its bounds, and its atoms.

    Raises Refusal where the declaration lacks categories or bounds, or cannot be modelled.
    """
    empty = np.empty(0, np.int64)
    if column.is_categorical:
        if not column.categories:
            raise Refusal(
                f"column {column.name}: a {column.kind} column needs its categories declared"
            )
        return Domain(column, len(column.categories), empty, empty)
    if not column.is_numeric:
        raise Refusal(
            f"column {column.name}: kind {column.kind} cannot be modelled; declare it rebuilt or"
            " carried"
        )
    if column.lower is None or column.upper is None or not column.lower < column.upper:
        raise Refusal(
            f"column {column.name}: needs lower < upper, got {column.lower} and {column.upper}"
        )
    most = max(max_leaves, LEARN_LEAVES) if column.learn else max_leaves
    edges = _edges(column, max(most - 2 * len(column.atoms), 1))
    whole = Domain(column, 0, empty, empty)
    inside = [a for a in column.atoms if column.lower <= a <= column.upper]
    atom_points = np.unique(whole.lattice(np.array(inside))) if inside else empty
    edges = np.unique(np.concatenate([edges, atom_points, atom_points + 1]))
    starts, stops = edges[:-1], edges[1:]
    # the edges isolate each atom, so its range is exactly [atom, atom + 1)
    ordinary = ~np.isin(starts, atom_points)
    if not ordinary.any():
        raise Refusal(
            f"column {column.name}: every value between the bounds is an atom; declare it as"
            " categories"
        )
    return Domain(column, int(ordinary.sum()), starts[ordinary], stops[ordinary])


def _edges(column: Column, leaves: int) -> np.ndarray:
    """Edges of the grid in lattice points, int64 ascending, from 0 to one past the upper bound."""
    assert column.lower is not None and column.upper is not None
    points = round((column.upper - column.lower) * 10.0**column.decimals) + 1
    if points > 2**52:
        raise Refusal(
            f"column {column.name}: {column.decimals} decimals over its bounds pass what a float"
            " holds; declare fewer"
        )
    if column.transform == "linear":
        edges = (
            np.arange(points + 1)
            if points <= leaves
            else np.rint(np.linspace(0, points, leaves + 1))
        )
    else:
        ends = np.arcsinh(np.array([column.lower, column.upper]) / column.scale)
        values = np.sinh(np.linspace(ends[0], ends[1], leaves + 1)) * column.scale
        edges = np.rint((values - column.lower) * 10.0**column.decimals)
        edges[0], edges[-1] = 0, points
    return np.unique(np.clip(edges, 0, points).astype(np.int64))


def encode(domain: Domain, column_values: pl.Series) -> np.ndarray:
    """Cell of each row, int32 [n]. Total: a value that ingest should have repaired still lands in
    exactly one declared cell.

    Null goes to missing where declared; out of bounds is clipped; what is left (null, NaN or an
    unknown category in a column that does not declare missing) goes to the first cell.
    """
    fallback = 0 if domain.missing is None else domain.missing
    if not domain.is_numeric:
        names = column_values.cast(pl.String)
        places = pl.Series(range(domain.leaves), dtype=pl.Int32)
        cells = names.replace_strict(
            list(domain.column.categories), places, default=None, return_dtype=pl.Int32
        )
        return cells.fill_null(fallback).to_numpy().astype(np.int32)
    if column_values.dtype == pl.Date:
        column_values = column_values.cast(pl.Int32)
    values = column_values.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    points = domain.lattice(values)
    codes = np.searchsorted(domain.starts, points, side="right").clip(1) - 1
    for place, atom in enumerate(domain.atoms):
        codes[np.abs(values - atom) < 0.5 * 10.0**-domain.column.decimals] = domain.leaves + place
    codes[np.isnan(values)] = fallback
    return codes.astype(np.int32)
