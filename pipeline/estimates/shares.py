"""Counts and shares of patients, from the noisy tables that tell them apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.estimates.numbers import Range, in_range, levels_of, overlap
from pipeline.estimates.values import Interval, NoisyEstimate, Sum, Z
from pipeline.models.noisy_tables import Axis, Cell, NoisyTable
from pipeline.refusal import Refusal

Condition = Sequence[str | None] | Range
_WHOLE = 1e-9


def size(tables: Sequence[NoisyTable]) -> Sum:
    """How many patients the model learned from: every table counts them all, so all together tell
    it well (by inverse variance).
    """
    totals = np.array([table.counts.sum() for table in tables])
    precision = np.array([1 / (table.sigma**2 * table.counts.size) for table in tables])
    return Sum(float(totals @ precision / precision.sum()), float(1 / precision.sum()))


def share(tables: Sequence[NoisyTable], conditions: Mapping[str, Condition]) -> NoisyEstimate:
    """Of all patients, those who meet every condition. Raises Refusal where no table was counted
    that tells them apart.
    """
    return as_share(count_of(tables, conditions), size(tables))


def as_share(part: Sum, whole: Sum) -> NoisyEstimate:
    """A part of the whole, with Wilson's interval (1927), its variance widened by the noise."""
    n = max(whole.patients, 1.0)
    value = part.patients / n
    noise = math.sqrt(part.variance + value**2 * whole.variance) / n
    within = min(max(value, 0.0), 1.0)
    return NoisyEstimate(
        value=within,
        source=_clipped(value - Z * noise, value + Z * noise),
        population=_wilson(value, noise**2, n),
        noise=noise,
        sampling=math.sqrt(within * (1 - within) / n),
    )


def as_count(part: Sum) -> NoisyEstimate:
    """A number of patients; in the population, of as many people as the source has."""
    noise, chance = math.sqrt(part.variance), math.sqrt(max(part.patients, 0.0))
    both = math.hypot(noise, chance)
    return NoisyEstimate(
        value=max(part.patients, 0.0),
        source=_at_least_none(part.patients, Z * noise),
        population=_at_least_none(part.patients, Z * both),
        noise=noise,
        sampling=chance,
    )


def count_of(tables: Sequence[NoisyTable], conditions: Mapping[str, Condition]) -> Sum:
    """Patients who meet every condition, from all tables that tell (by inverse variance: each has
    noise of its own). Raises Refusal where none does.
    """
    if not conditions:
        return size(tables)
    sums = [
        one
        for table in tables
        if not table.is_level and (one := _cells_of(table, conditions)) is not None
    ]
    (name, condition), *others = conditions.items()
    levels = levels_of(tables, name)
    if levels and not others:
        sums += _on_tree(levels, condition)
    if not sums:
        raise Refusal(
            f"no noisy table of this release counts {' with '.join(conditions)} in cells that"
            " these conditions follow: ask for fewer columns, or for whole categories"
            " (`python -m pipeline estimate RELEASE` lists what was counted)"
        )
    return _weighted(sums)


def _on_tree(levels: Sequence[NoisyTable], condition: Condition) -> list[Sum]:
    """Of a number: a range, or who has none. Nothing where no level tells."""
    if isinstance(condition, tuple):
        return [in_range(levels, condition)]
    conditions = {levels[0].columns[0]: condition}
    return [one for table in levels if (one := _cells_of(table, conditions)) is not None]


def _weighted(sums: Sequence[Sum]) -> Sum:
    """Several counts of the same patients as one, by inverse variance."""
    precision = sum(1 / one.variance for one in sums)
    return Sum(sum(one.patients / one.variance for one in sums) / precision, 1 / precision)


def _cells_of(table: NoisyTable, conditions: Mapping[str, Condition]) -> Sum | None:
    """None where the table lacks a column, or has a cell that is met in part."""
    if not set(conditions) <= set(table.columns) or len(set(table.columns)) < len(table.axes):
        return None
    weights = []
    for axis in table.axes:
        met = cells_met(axis, conditions.get(axis.name))
        if met is None:
            return None
        weights.append(met)
    chosen = table.counts[np.ix_(*(np.flatnonzero(met) for met in weights))]
    return Sum(float(chosen.sum()), table.sigma**2 * chosen.size)


def cells_met(axis: Axis, condition: Condition | None) -> np.ndarray | None:
    """Which cells meet it, bool [cells]; None where one does in part, or none at all."""
    if condition is None:
        return np.ones(len(axis.cells), bool)
    parts = np.array([_part(cell, condition) for cell in axis.cells])
    is_partial = ((parts > _WHOLE) & (parts < 1 - _WHOLE)).any()
    return None if is_partial or not parts.any() else parts > 0.5


def _part(cell: Cell, condition: Condition) -> float:
    """How much of a cell meets the condition, 0 to 1."""
    if isinstance(condition, tuple):
        return overlap(cell, condition)
    inside = sum(value in condition for value in cell.values)
    return inside / max(len(cell.values), 1)


def _clipped(low: float, high: float) -> Interval:
    return Interval(low=min(max(low, 0.0), 1.0), high=max(min(high, 1.0), 0.0))


def _at_least_none(value: float, width: float) -> Interval:
    return Interval(low=max(value - width, 0.0), high=max(value + width, 0.0))


def _wilson(value: float, noise: float, n: float) -> Interval:
    """All p with (value - p)^2 <= Z^2 (noise + p (1 - p) / n)."""
    a = 1 + Z**2 / n
    b = -(2 * value + Z**2 / n)
    c = value**2 - Z**2 * noise
    root = math.sqrt(max(b**2 - 4 * a * c, 0.0))
    return _clipped((-b - root) / (2 * a), (-b + root) / (2 * a))
