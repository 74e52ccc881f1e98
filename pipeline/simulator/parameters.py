"""The simulator's parameter file as a value: `load()` and the cells in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline.refusal import Refusal
from pipeline.schema.codes import lists
from pipeline.simulator.draw import Floats

FILE = Path(__file__).resolve().parent / "parameters.yaml"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row of the incidence and survival tables. Stage columns are 1, 2, 3, 4, unknown (unstaged
    tumours are all in the last).
    """

    name: str
    group: str  # site group of the code lists
    cases: tuple[float, float]  # men, women
    age: tuple[float, float, float]
    tilt: float  # most : least deprived
    sites: Mapping[str, float]
    stages: Floats  # [5], sums to 1
    s1: Floats  # [5] net survival, 1 year
    s5: Floats  # [5]
    staged: bool
    in_situ: bool
    morphologies: Mapping[str, float]  # the cell's own, with weights; {}: those of its sites


@cache
def load() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


@cache
def cells() -> tuple[Cell, ...]:
    return tuple(_cell(name, raw) for name, raw in load()["cells"].items())


def of_cell(table: Mapping[str, Any], cell: Cell) -> Any:
    """The entry of a cell in a table keyed by cell or group, else the table's default."""
    for key in (cell.name, cell.group, "default", "Other"):
        if key in table:
            return table[key]
    raise Refusal(f"simulator parameters: no entry for {cell.name} and no default")


def _cell(name: str, raw: dict[str, Any]) -> Cell:
    group = raw.get("group", name)
    if group not in lists.site_groups():
        raise Refusal(f"simulator parameters, cell {name}: {group!r} is not a site group")
    lone = raw.get("unstaged") or raw.get("in_situ")
    stages = np.array([0, 0, 0, 0, 100] if lone else raw["stages"], dtype=float)
    return Cell(
        name=name,
        group=group,
        cases=tuple(raw["cases"]),
        age=tuple(raw["age"]),
        tilt=raw["tilt"],
        sites=raw["sites"],
        stages=stages / stages.sum(),
        s1=np.array([1, 1, 1, 1, lone[0]] if lone else raw["s1"]),
        s5=np.array([1, 1, 1, 1, lone[1]] if lone else raw["s5"]),
        staged=not lone,
        in_situ="in_situ" in raw,
        morphologies=raw.get("morphologies", {}),
    )
