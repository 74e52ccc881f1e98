"""Patient-level tables of counts that the pathways are calibrated to: which, and each patient's one
cell in them.

A patient stands in exactly one cell of each table, so that one table is one block of counts with
sensitivity 1 (privacy_rules.md 8). Which tables there are follows from the declaration alone
(`events.counted`, else a default from strata and grammar).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import polars as pl

from pipeline.models.pathway.domain.encode import codec
from pipeline.models.pathway.domain.facts import (
    Pathways,
    fact_size,
    fact_values,
    repeating_type,
    treatments,
)
from pipeline.models.pathway.domain.state import Coding
from pipeline.schema.values import CountedTable

STATIC_BINS = 10  # of a continuous column in a table
ROW_TRUST = 0.2  # relative error that the synthetic patients of a row are allowed


@dataclass(frozen=True)
class CalibrationTable:
    """`sizes` are the numbers of values of the parts; weight: of its squared noise budget, beside
    the other tables'.
    """

    name: str
    parts: tuple[str, ...]
    sizes: tuple[int, ...]
    weight: float

    @property
    def cells(self) -> int:
        return math.prod(self.sizes)


def calibration_tables(coding: Coding, strata: Sequence[str]) -> tuple[CalibrationTable, ...]:
    """The declared tables, else `_default`. Raises ValueError for a part that is neither a fact nor
    a static column.
    """
    made = []
    for given in coding.grammar.log.counted or _default(coding, strata):
        sizes = tuple(_size(coding, part) for part in given.parts)
        made.append(
            CalibrationTable(
                name="pathway/" + "/".join(given.parts),
                parts=given.parts,
                sizes=sizes,
                weight=given.weight,
            )
        )
    return tuple(made)


def table_cells(
    coding: Coding, tables: Sequence[CalibrationTable], patients: pl.DataFrame, pathways: Pathways
) -> list[np.ndarray]:
    """Each pathway's cell in each table, int64 [n] per table. Pathway i belongs to row i // (n /
    rows) of `patients`.
    """
    each = pathways.n // max(patients.height, 1)
    values: dict[str, np.ndarray] = {}
    for part in {part for table in tables for part in table.parts}:
        values[part] = (
            np.repeat(static_values(coding, part, patients), each)
            if is_static(coding, part)
            else fact_values(coding, part, pathways)
        )
    return [row_of(table.parts, table.sizes, values, pathways.n) for table in tables]


def row_of(
    parts: Sequence[str], sizes: Sequence[int], values: dict[str, np.ndarray], n: int
) -> np.ndarray:
    """The joint cell of some parts, int64 [n]. values: [n] by part."""
    cell = np.zeros(n, np.int64)
    for part, size in zip(parts, sizes, strict=True):
        cell = cell * size + values[part]
    return cell


def believed(
    drawn: np.ndarray, told: np.ndarray, variance: np.ndarray | float, scale: float
) -> np.ndarray:
    """How many patients some rows have, [rows]: between what synthetic patients say (drawn, each
    standing for `scale`) and noisy counts (told).

    By the inverse of their variances: synthetic static rows may be ROW_TRUST off, noisy counts by
    their noise.
    """
    trust, noise = 1 / ((ROW_TRUST * drawn) ** 2 + drawn * scale + 1), 1 / (variance + told.clip(1))
    return np.asarray(((drawn * trust + told * noise) / (trust + noise)).clip(0))


def static_parts(coding: Coding, table: CalibrationTable) -> int:
    """Number of static columns at the head of the table's parts: they make its rows."""
    return len(list(takewhile(lambda part: is_static(coding, part), table.parts)))


def is_static(coding: Coding, part: str) -> bool:
    """A modelled static column; it hides a fact of the same name."""
    columns = coding.grammar.schema.patients
    return part in columns and columns[part].is_modelled


def static_values(coding: Coding, name: str, patients: pl.DataFrame) -> np.ndarray:
    """Codes of a static column as the tables bin it, int64 [rows]."""
    return (
        codec(coding.grammar.schema.patients[name], STATIC_BINS)
        .encode(patients[name])
        .astype(np.int64)
    )


def _size(coding: Coding, part: str) -> int:
    return (
        codec(coding.grammar.schema.patients[part], STATIC_BINS).size
        if is_static(coding, part)
        else fact_size(coding, part)
    )


def _default(coding: Coding, strata: Sequence[str]) -> list[CountedTable]:
    """Per stratum: combination of treatments, survival by end, wait for the first treatment. Once:
    length, repeats, other types.
    """
    by: list[tuple[str, ...]] = [(name,) for name in strata] or [()]
    treated = treatments(coding)
    wanted = [(*s, "combination") for s in by if treated]
    wanted += [(*s, "survival", "end") for s in by]
    wanted += [(*s, "wait") for s in by if treated]
    wanted.append((*by[-1], "length"))
    repeating = repeating_type(coding)
    wanted += [(f"count {coding.grammar.type_names[repeating]}",)] if repeating is not None else []
    wanted += [("others",)] if fact_size(coding, "others") > 1 else []
    return [CountedTable(parts=parts) for parts in wanted]
