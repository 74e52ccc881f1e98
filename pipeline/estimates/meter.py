"""The evidence meter: for each figure of an extract, what the noisy counts say of the same figure
in the source, and whether it stands clear of noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product

import numpy as np

from pipeline.estimates.shares import as_share, size
from pipeline.estimates.values import (
    CLOSE,
    Evidence,
    NoisyEstimate,
    Sum,
    Threshold,
    Z,
    evidence,
)
from pipeline.models.noisy_tables import Axis, Cell, NoisyTable, coarse
from pipeline.schema.values import Column, Schema
from pipeline.schema.words import label

MOST_CELLS = 600  # of a table that is listed cell by cell
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One cell of one table."""

    table: tuple[str, ...]  # names of columns and facts
    cell: tuple[str, ...]  # in words, one for each
    extract: float  # share of the extract's patients
    estimate: NoisyEstimate  # share of the source's, and the population's
    evidence: Evidence


def readings(
    schema: Schema, tables: Sequence[NoisyTable], counts: Mapping[str, np.ndarray]
) -> Iterator[Reading]:
    """Of every cell that the extract or the noise makes worth a line: empty cells that the counts
    do not deny are left out.
    """
    whole = size(tables)
    for table in listed_tables(tables):
        extract = counts[table.name] / max(counts[table.name].sum(), 1)
        variance = table.sigma**2
        for place in product(*(range(len(axis.cells)) for axis in table.axes)):
            estimate = as_share(Sum(float(table.counts[place]), variance), whole)
            share = float(extract[place])
            sign = evidence(share, estimate.source)
            if share == 0 and sign is Evidence.NOISE:
                continue
            cells = [axis.cells[i] for axis, i in zip(table.axes, place, strict=True)]
            yield Reading(
                table=table.columns,
                cell=tuple(
                    words(schema, axis, cell) for axis, cell in zip(table.axes, cells, strict=True)
                ),
                extract=share,
                estimate=estimate,
                evidence=sign,
            )


def listed_tables(tables: Sequence[NoisyTable]) -> list[NoisyTable]:
    """Those of at most MOST_CELLS cells, of a number's tree one level."""
    return [table for table in coarse(tables) if table.counts.size <= MOST_CELLS]


def thresholds(tables: Sequence[NoisyTable]) -> list[Threshold]:
    """By table, of a number's tree of one level."""
    return [
        Threshold(
            table=table.columns,
            clear=int(np.ceil(Z * table.sigma)),
            close=int(np.ceil(Z * table.sigma / CLOSE)),
        )
        for table in coarse(tables)
    ]


def words(schema: Schema, axis: Axis, cell: Cell) -> str:
    """A cell as people read it."""
    if cell.low is not None and cell.high is not None:
        column = schema.patients.get(axis.name)
        if column is not None and column.kind == "date":
            ends = [
                (_EPOCH + timedelta(days=int(end))).isoformat() for end in (cell.low, cell.high)
            ]
        else:
            ends = [f"{end:g}" for end in (cell.low, cell.high)]
        return ends[0] if cell.low == cell.high else f"{ends[0]} to {ends[1]}"
    column = schema.patients.get(axis.name)
    return ", ".join(_value(column, value) for value in cell.values)


def _value(column: Column | None, value: str | None) -> str:
    """A code with its label: `2 (Female)`."""
    if value is None:
        return "missing"
    name = label(column, value) if column is not None else value
    return value if name.startswith(value) else f"{value} ({name})"
