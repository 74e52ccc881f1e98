"""The charged noisy counts of a model, with what each cell stands for: published beside the model,
so that a reader can say how sure a figure is.

They are what the mechanisms gave out, so to publish them is free (privacy_rules.md 18): nothing
about a patient is told that the charge does not cover.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from pipeline import files
from pipeline.models.formats import whole

MOST_NODES = 32  # of a level that is read cell by cell
DESCRIPTION, COUNTS = "measured.json", "measured.safetensors"


@dataclass(frozen=True)
class Cell:
    """One place of an axis: these values (None: missing), or numbers from `low` to `high`, both
    within. Of a fact about pathways the values are its names in words. Dates are days since
    1970-01-01.
    """

    values: tuple[str | None, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def is_range(self) -> bool:
        return self.low is not None

    def to_json(self) -> dict[str, Any]:
        if self.low is None:
            return {"values": list(self.values)}
        return {"low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Cell:
        return cls(tuple(value.get("values", ())), value.get("low"), value.get("high"))


@dataclass(frozen=True)
class Axis:
    """A static column, or a fact about whole pathways as `events.counted` names it; every patient
    is in one of its cells.
    """

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, eq=False)
class NoisyTable:
    """Counts of patients, float64 [cells of each axis], with the standard deviation of the noise in
    each. `name`: of the block that was charged, or "pair/A/B" for all looks at a pair together.
    """

    name: str
    axes: tuple[Axis, ...]
    counts: np.ndarray
    sigma: float

    @property
    def is_level(self) -> bool:
        """Whether it is one level of a number's tree; the levels count the same patients."""
        return self.name.startswith("tree/")

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(axis.name for axis in self.axes)


def save(folder: Path, tables: Sequence[NoisyTable]) -> None:
    """`measured.json` and `measured.safetensors` in the folder, byte for byte the same for the same
    tables; nothing for none.
    """
    if not tables:
        return
    axes = list(dict.fromkeys(axis for table in tables for axis in table.axes))
    places = {axis: place for place, axis in enumerate(axes)}
    with files.replacing(folder / COUNTS) as temporary:
        arrays = {table.name: np.ascontiguousarray(table.counts, np.float32) for table in tables}
        save_file(dict(sorted(arrays.items())), temporary)
    description = {
        "axes": [{"name": a.name, "cells": [c.to_json() for c in a.cells]} for a in axes],
        "tables": [
            {"name": t.name, "sigma": t.sigma, "axes": [places[axis] for axis in t.axes]}
            for t in tables
        ],
    }
    # compact: a page of it per axis helps nobody
    text = json.dumps(description, ensure_ascii=False, separators=(",", ":"))
    files.write_text(folder / DESCRIPTION, text + "\n")


def load(folder: Path) -> tuple[NoisyTable, ...]:
    """What `save` wrote; none for a model of before. Raises Refusal where half of it is gone."""
    if not any((folder / name).exists() for name in (DESCRIPTION, COUNTS)):
        return ()
    with whole(folder, DESCRIPTION, COUNTS):
        description = files.read_json(folder / DESCRIPTION)
        counts = load_file(folder / COUNTS)
        axes = [
            Axis(axis["name"], tuple(Cell.from_json(cell) for cell in axis["cells"]))
            for axis in description["axes"]
        ]
        return tuple(
            NoisyTable(
                table["name"],
                tuple(axes[place] for place in table["axes"]),
                counts[table["name"]].astype(float),
                table["sigma"],
            )
            for table in description["tables"]
        )


def category_counts(tables: Sequence[NoisyTable]) -> dict[str, dict[str, float]]:
    """{column: {value: noisy count}} of every column whose categories were counted alone."""
    return {
        table.columns[0]: {
            value: float(count)
            for cell, count in zip(table.axes[0].cells, table.counts, strict=True)
            for value in cell.values
            if value is not None
        }
        for table in tables
        if table.name.startswith("one/")
    }


def coarse(tables: Sequence[NoisyTable]) -> list[NoisyTable]:
    """All tables, but of a number's tree one level: the finest with at most MOST_NODES cells, else
    the coarsest.
    """
    levels: dict[str, NoisyTable] = {}
    for table in tables:
        name = table.columns[0]
        if table.is_level and (table.counts.size <= MOST_NODES or name not in levels):
            levels[name] = table
    return [t for t in tables if not t.is_level or t is levels[t.columns[0]]]
