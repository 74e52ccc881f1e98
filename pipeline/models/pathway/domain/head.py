"""A counted head: a log-linear model of a code or of an attribute's value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.models.pathway.domain.calibration_table import CalibrationTable, joint_cell


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

    def logits(self, parts: Mapping[str, np.ndarray], repeated: np.ndarray) -> np.ndarray:
        """Logits of the choice, [n, k].

        parts: value of each part but the choice, [n], and of each `picked change` the cell of each
            value, [n, k]; repeated: bool [n], not the first event of the type, or with the
            attribute.
        """
        total = np.tile(self.base, (len(repeated), 1))
        for table, weights in self.tables:
            if table.counts_changes:
                total += np.append(0.0, weights[0])[parts[table.parts[-1]]]
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
