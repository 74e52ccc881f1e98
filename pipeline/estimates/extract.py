"""The extract in the cells of the noisy tables: what a reader finds in it, beside what the source
has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.models.noisy_tables import Axis, NoisyTable
from pipeline.models.pathway.domain.tables import table_cells
from pipeline.models.pathway.draw.model import PathwayModel
from pipeline.models.pathway.fit.encoded_log import encode_log
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.row_slices import in_slices

CHUNK = 20_000  # patients encoded at a time: bounds memory


def counts_of(
    log: PatientLog, tables: Sequence[NoisyTable], pathway: PathwayModel | None
) -> dict[str, np.ndarray]:
    """Patients of the extract in each cell of each table, int64, by the table's name. pathway: the
    model whose facts the tables count; None for a dataset without events.
    """
    names = {table.name for table in pathway.tables} if pathway else set()
    places: dict[Axis, np.ndarray] = {}
    counts: dict[str, np.ndarray] = {}
    for table in tables:
        if table.name in names:
            continue
        for axis in table.axes:
            if axis not in places:
                places[axis] = cells_of(axis, log.patients[axis.name])
        shape = table.counts.shape
        joint = np.ravel_multi_index([places[axis] for axis in table.axes], shape)
        counts[table.name] = np.bincount(joint, minlength=table.counts.size).reshape(shape)
    if pathway is not None and pathway.tables:
        counts |= _pathway_counts(log, pathway)
    return counts


def _pathway_counts(log: PatientLog, pathway: PathwayModel) -> dict[str, np.ndarray]:
    sums = {table.name: np.zeros(table.cells, np.int64) for table in pathway.tables}
    for patients, events in in_slices(log.patients, log.pathways, CHUNK):
        pathways = encode_log(pathway.coding, patients, events).pathways
        cells = table_cells(pathway.coding, pathway.tables, patients, pathways)
        for table, cell in zip(pathway.tables, cells, strict=True):
            sums[table.name] += np.bincount(cell, minlength=table.cells)
    return {table.name: sums[table.name].reshape(table.sizes) for table in pathway.tables}


def cells_of(axis: Axis, values: pl.Series) -> np.ndarray:
    """Cell of each value, int64 [n]. Single numbers (atoms) come before the ranges around them; a
    number in a gap between two ranges falls into the one below.
    """
    by_value = {value: i for i, cell in enumerate(axis.cells) for value in cell.values}
    missing = by_value.get(None, 0)
    ranges = [(i, cell) for i, cell in enumerate(axis.cells) if cell.low is not None]
    if not ranges:
        codes = {value: i for value, i in by_value.items() if value is not None}
        cells = values.cast(pl.String).replace_strict(codes, default=missing, return_dtype=pl.Int64)
        return cells.fill_null(missing).to_numpy()
    numbers = values.cast(pl.Int32) if values.dtype == pl.Date else values
    floats = numbers.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    wide = sorted((cell.low or 0.0, i) for i, cell in ranges if cell.low != cell.high)
    places = np.full(len(floats), missing, np.int64)
    if wide:
        lows = np.array([low for low, _ in wide])
        at = (np.searchsorted(lows, floats, side="right") - 1).clip(0)
        places = np.array([i for _, i in wide])[at]
    for i, cell in ranges:
        if cell.low == cell.high:
            places[floats == cell.low] = i
    places[np.isnan(floats)] = missing
    return places
