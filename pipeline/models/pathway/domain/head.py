"""A counted head: a log-linear model of a code or of an attribute's value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.models.pathway.domain.calibration_table import CalibrationTable, joint_cell

MOST_JOINED = 20_000  # rows


@dataclass(frozen=True, eq=False)
class Head:
    """`choice` names a type or an attribute; base [k]: a log weight per code or value; tables:
    each with its log weights [rows, k], k the number of codes or values.
    """

    choice: str
    base: np.ndarray
    tables: tuple[tuple[CalibrationTable, np.ndarray], ...]

    @property
    def parts(self) -> frozenset[str]:
        """Of its tables."""
        return frozenset(part for table, _ in self.tables for part in table.parts)

    @cached_property
    def _joined(self) -> list[tuple[list[str], list[int], np.ndarray]]:
        """Sums of weights [rows, k] by the parts of several tables of picked events, and the sizes
        of the parts: few look-ups in place of one per table.
        """
        groups: list[tuple[list[str], list[int], np.ndarray]] = []
        for table, weights in self.tables:
            if not table.counts_picked_events or table.counts_changes:
                continue
            if groups and len(groups[-1][2]) * len(weights) <= MOST_JOINED:
                names, sizes, sums = groups.pop()
            else:
                names, sizes, sums = [], [], np.zeros((1, len(self.base)), np.float32)
            both = (sums[:, None] + weights[None]).reshape(-1, len(self.base))
            groups.append(([*names, *table.parts[:-1]], [*sizes, *table.sizes[:-1]], both))
        return groups

    def logits(self, parts: Mapping[str, np.ndarray], repeated: np.ndarray) -> np.ndarray:
        """Logits of the choice, [n, k].

        parts: value of each part but the choice, [n], and of each `picked change` the cell of each
            value, [n, k]; repeated: bool [n], not the first event of the type, or with the
            attribute.
        """
        total = np.tile(self.base, (len(repeated), 1))
        for names, sizes, sums in self._joined:
            total += sums[joint_cell(names, sizes, parts, len(repeated))]
        for table, weights in self.tables:
            if table.counts_changes:
                steps = np.append(weights[0][:1] * 0, weights[0])
                total += steps[parts[table.parts[-1]]]
            if table.counts_picked_events:
                continue
            taught = (
                np.flatnonzero(repeated) if table.counts_later_events else np.arange(len(repeated))
            )
            row = joint_cell(
                table.parts[:-1],
                table.sizes[:-1],
                {part: parts[part][taught] for part in table.parts[:-1]},
                len(taught),
            )
            total[taught] += weights[row]
        return total
