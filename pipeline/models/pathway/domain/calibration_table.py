"""A planned table of counts, and the numbering of its rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.models.pathway.domain.fact_names import CHANGE, LATER, OF_PICKED


@dataclass(frozen=True)
class CalibrationTable:
    """`sizes` are the numbers of values of the parts; weight: of its squared noise budget, beside
    the other tables'. A patient stands in exactly one of its cells.
    """

    name: str
    parts: tuple[str, ...]
    sizes: tuple[int, ...]
    weight: float

    @property
    def cells(self) -> int:
        return math.prod(self.sizes)

    @property
    def counts_later_events(self) -> bool:
        """It counts second events: first choices are not its business."""
        return self.parts[-1].startswith(tuple(f"{kind} " for kind in LATER))

    @property
    def counts_picked_events(self) -> bool:
        """It counts the picked event of each pathway (picked.py), and teaches all."""
        return self.parts[-1].startswith(tuple(f"{kind} " for kind in OF_PICKED))

    @property
    def counts_changes(self) -> bool:
        """Its last part is a change between two values, not a value."""
        return self.parts[-1].startswith(f"{CHANGE} ")


def joint_cell(
    parts: Sequence[str], sizes: Sequence[int], values: Mapping[str, np.ndarray], n: int
) -> np.ndarray:
    """The joint cell of some parts, int64 [n]; the last part varies fastest. values: [n] by
    part.
    """
    cell = np.zeros(n, np.int64)
    for part, size in zip(parts, sizes, strict=True):
        cell = cell * size + values[part]
    return cell
