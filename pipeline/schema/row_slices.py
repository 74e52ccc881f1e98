"""Rows in slices, each read when its turn comes: memory holds one at a time, and the rows are gone
through once, where those of a slice lie together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

_SLICE, _PLACE = "_slice", "_place"


@dataclass(frozen=True, eq=False)
class RowSlices:
    """Some rows, and the slice that each belongs to. `ends`: by slice its first row, its last row
    and how many it has.
    """

    rows: pl.LazyFrame
    numbers: pl.Series  # int [rows], null for a row of no slice
    ends: Mapping[int, tuple[int, int, int]]

    def __getitem__(self, number: int) -> pl.DataFrame:
        """The rows of a slice in their order; none, with the columns, for a slice without rows."""
        first, last, n = self.ends.get(number, (0, -1, 0))
        between = self.rows.slice(first, last - first + 1).collect()
        if between.height == n:  # nothing else lies between its first and its last
            return between
        return between.filter(self.numbers[first : last + 1] == number)


def row_slices(rows: pl.LazyFrame, numbers: pl.Series) -> RowSlices:
    """`rows` in slices; numbers: the slice of each row."""
    ends = (
        numbers.alias(_SLICE)
        .to_frame()
        .with_row_index(_PLACE)
        .drop_nulls()
        .group_by(_SLICE)
        .agg(pl.col(_PLACE).min().alias("first"), pl.col(_PLACE).max().alias("last"), pl.len())
    )
    return RowSlices(rows, numbers, {number: (a, b, n) for number, a, b, n in ends.iter_rows()})
