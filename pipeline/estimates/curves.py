"""Survival and hazard ratios of an extract beside what the noisy counts say of the source: a line
per group of patients whose survival was counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.estimates.meter import words
from pipeline.estimates.shares import Condition
from pipeline.estimates.survival import LifeTable, hazard_ratio, life_table, survival
from pipeline.estimates.values import Evidence, NoisyEstimate, evidence
from pipeline.models.noisy_tables import Axis, Cell, NoisyTable
from pipeline.refusal import Refusal
from pipeline.schema.values import EventLog, Schema

EVERYBODY = "everybody"
_UNKNOWN = ((None,), ("unknown",))  # no group to compare others with
_WIDEST = 0.3  # a survival has no value without signal: 15 points to either side tell nothing
_EXACT = 1e-6  # standard deviation of counts that have no noise


@dataclass(frozen=True, kw_only=True)
class CurveReading:
    """Survival of a group at a day (`against` is ""), or the hazard ratio of two groups (day 0)."""

    column: str  # "" for everybody
    group: str
    against: str
    day: int
    extract: float
    estimate: NoisyEstimate
    evidence: Evidence


def curve_readings(
    schema: Schema, tables: Sequence[NoisyTable], counts: Mapping[str, np.ndarray]
) -> list[CurveReading]:
    """None for a dataset whose survival is not counted. counts: of the extract, by table."""
    log = schema.events
    of_survival = [table for table in tables if table.columns[-2:] == ("survival", "end")]
    if log is None or not of_survival:
        return []
    try:
        life_table(of_survival, log, {})
    except Refusal:  # who was censored is told by a code
        return []
    exact = [replace(t, counts=counts[t.name].astype(float), sigma=_EXACT) for t in of_survival]
    rows = list(_survival(log, of_survival, exact, "", EVERYBODY, {}))
    for axis in dict.fromkeys(t.axes[0] for t in of_survival if len(t.axes) == 3):
        own = [table for table in exact if table.axes[0] == axis]
        sizes = own[0].counts.sum((1, 2))
        for cell, size in zip(axis.cells, sizes, strict=True):
            if size:
                name = words(schema, axis, cell)
                rows += _survival(log, of_survival, exact, axis.name, name, _of(axis, cell))
        rows += _ratios(schema, log, of_survival, exact, axis, sizes)
    return rows


def _of(axis: Axis, cell: Cell) -> dict[str, Condition]:
    if cell.low is not None and cell.high is not None:
        return {axis.name: (cell.low, cell.high)}
    return {axis.name: list(cell.values)}


def _survival(
    log: EventLog,
    tables: Sequence[NoisyTable],
    exact: Sequence[NoisyTable],
    column: str,
    group: str,
    conditions: Mapping[str, Condition],
) -> Iterator[CurveReading]:
    noisy, own = (life_table(some, log, conditions) for some in (tables, exact))
    for day in noisy.edges:
        estimate, figure = survival(noisy, day), survival(own, day).value
        yield CurveReading(
            column=column,
            group=group,
            against="",
            day=day,
            extract=figure,
            estimate=estimate,
            evidence=evidence(figure, estimate.source, None, widest=_WIDEST),
        )


def _ratios(
    schema: Schema,
    log: EventLog,
    tables: Sequence[NoisyTable],
    exact: Sequence[NoisyTable],
    axis: Axis,
    sizes: np.ndarray,
) -> Iterator[CurveReading]:
    """Each group against the extract's largest that is neither missing nor unknown."""
    is_known = np.array([cell.values not in _UNKNOWN for cell in axis.cells])
    largest = int(np.argmax(np.where(is_known, sizes, -1)))

    def both(cell: Cell) -> tuple[LifeTable, LifeTable]:
        conditions = _of(axis, cell)
        return life_table(tables, log, conditions), life_table(exact, log, conditions)

    reference = both(axis.cells[largest])
    for place in np.flatnonzero(is_known & (sizes > 0)):
        if place == largest:
            continue
        group = both(axis.cells[place])
        estimate = hazard_ratio(group[0], reference[0])
        figure = hazard_ratio(group[1], reference[1]).value
        yield CurveReading(
            column=axis.name,
            group=words(schema, axis, axis.cells[place]),
            against=words(schema, axis, axis.cells[largest]),
            day=0,
            extract=figure,
            estimate=estimate,
            evidence=evidence(figure, estimate.source, nothing=1.0),
        )
