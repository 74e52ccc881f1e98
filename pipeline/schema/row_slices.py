"""Rows in slices, each read when its turn comes: memory holds one at a time, and the rows are gone
through once, where those of a slice lie together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from pipeline.schema.patient_log import ID

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


def in_slices(
    patients: pl.DataFrame, events: pl.DataFrame | pl.LazyFrame, size: int
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Some patients (rows with patient_id, each once) at a time with their events, in order; one
    slice where there is nobody. Events as a lazy frame are read slice by slice.
    """
    if patients.height <= size:
        theirs = patients.lazy().select(ID)
        yield (
            patients,
            events.lazy().join(theirs, on=ID, how="semi", maintain_order="left").collect(),
        )
        return
    of_patient = patients.select(ID, (pl.int_range(pl.len()) // size).alias(_SLICE))
    ids = events.lazy().select(ID).collect()
    of_event = ids.join(of_patient, on=ID, how="left", maintain_order="left")[_SLICE]
    slices = row_slices(events.lazy(), of_event)
    for number, some in enumerate(patients.iter_slices(size)):
        yield some, slices[number]
