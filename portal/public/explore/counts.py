"""Who is in a cohort, and how many of them are in each cell of a column. One pass over small arrays
for each filter and for several columns together: no query is built.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from portal.public.explore.state import Cohort, Filter
from portal.public.explore.table import ExploreTable, Joint


class Members:
    """The patients of a cohort, and of the cohort without one of its filters."""

    def __init__(self, table: ExploreTable, cohort: Cohort):
        self._table = table
        self.filters: Mapping[str, Filter] = cohort.filters
        self._met = {name: _met(table, one) for name, one in cohort.filters.items()}
        self._joints: dict[tuple[str, ...], np.ndarray] = {}
        self.rows = _rows(list(self._met.values()))
        self.size = table.patients if self.rows is None else len(self.rows)

    def of(self, array: np.ndarray) -> np.ndarray:
        """The cohort's part of an array over patients."""
        return array if self.rows is None else array[self.rows]

    def counts(self, name: str) -> np.ndarray:
        """The cohort's patients in each cell of a column, int64 [cells]."""
        joint = self._table.joint(name)
        if joint.names not in self._joints:
            self._joints[joint.names] = _joint_counts(joint, self.of(joint.codes))
        others = tuple(place for place, other in enumerate(joint.names) if other != name)
        return self._joints[joint.names].sum(axis=others)

    def options(self, name: str) -> np.ndarray:
        """How many would be in each cell if the column's own filter were not set."""
        if name not in self._met:
            return self.counts(name)
        rows = _rows([met for other, met in self._met.items() if other != name])
        if rows is None:
            return self._table.whole(name)
        some = self._table.cells(name)[rows]
        return np.bincount(some, minlength=self._table.dimensions[name].cells)


def _joint_counts(joint: Joint, codes: np.ndarray) -> np.ndarray:
    return np.bincount(codes, minlength=int(np.prod(joint.shape))).reshape(joint.shape)


def _met(table: ExploreTable, one: Filter) -> np.ndarray:
    """Who meets one filter, bool [patients]. A missing number is in no range."""
    if one.cells is not None:
        is_chosen = np.zeros(table.dimensions[one.name].cells, bool)
        is_chosen[list(one.cells)] = True
        return is_chosen[table.cells(one.name)]
    values = table.values(one.name)
    low = -np.inf if one.low is None else one.low
    high = np.inf if one.high is None else one.high
    return (values >= low) & (values <= high)


def _rows(masks: list[np.ndarray]) -> np.ndarray | None:
    """The places where all hold; None where there is no condition."""
    if not masks:
        return None
    together = masks[0]
    for mask in masks[1:]:
        together = together & mask
    return np.flatnonzero(together)
