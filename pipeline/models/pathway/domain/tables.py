"""Patient-level tables of counts that the pathways are calibrated to: which, and each patient's one
cell in them.

A patient stands in exactly one cell of each table, so that one table is one block of counts with
sensitivity 1 (privacy_rules.md 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np
import polars as pl

from pipeline.models.pathway.domain.calibration_table import CalibrationTable, joint_cell
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.facts import fact_size, fact_values
from pipeline.models.pathway.domain.pathways import Pathways
from pipeline.models.pathway.domain.picked import (
    is_picked,
    picked_size,
    picked_values,
    static_numbers,
)
from pipeline.schema.values import CountedTable


def calibration_tables(
    coding: Coding, tables: Sequence[CountedTable]
) -> tuple[CalibrationTable, ...]:
    """These tables with the sizes of their parts. Raises Refusal for a part that is neither a fact
    nor a static column.
    """
    return tuple(
        CalibrationTable(
            name="pathway/" + "/".join(table.parts),
            parts=table.parts,
            sizes=tuple(part_size(coding, part) for part in table.parts),
            weight=table.weight,
        )
        for table in tables
    )


def table_cells(
    coding: Coding, tables: Sequence[CalibrationTable], patients: pl.DataFrame, pathways: Pathways
) -> list[np.ndarray]:
    """Each pathway's cell in each table, int64 [n] per table. Pathway i belongs to row i // (n /
    rows) of `patients`.
    """
    each = pathways.n // max(patients.height, 1)
    values: dict[str, np.ndarray] = {}
    if any(is_picked(part) for table in tables for part in table.parts):
        own = np.repeat(static_numbers(coding, patients), each)
        pathways = replace(pathways, own=own)
    for part in {part for table in tables for part in table.parts}:
        values[part] = (
            np.repeat(coding.static_values(part, patients), each)
            if coding.is_static(part)
            else part_values(coding, part, pathways)
        )
    return [joint_cell(table.parts, table.sizes, values, pathways.n) for table in tables]


def static_parts(coding: Coding, table: CalibrationTable) -> int:
    """Number of static columns that the table's parts begin with: they make its rows."""
    return len(list(takewhile(lambda part: coding.is_static(part), table.parts)))


def part_values(coding: Coding, fact: str, pathways: Pathways) -> np.ndarray:
    """The fact of each pathway, int64 [n]. Raises Refusal for a name that is no fact."""
    of = picked_values if is_picked(fact) else fact_values
    return of(coding, fact, pathways)


def part_size(coding: Coding, part: str) -> int:
    """Number of values of a static column or a fact. Raises Refusal for what is neither."""
    if coding.is_static(part):
        return coding.static_codec(part).size
    return picked_size(coding, part) if is_picked(part) else fact_size(coding, part)
