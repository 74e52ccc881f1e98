"""How many patients of each kind a plan with shares asks for: the cells of the columns that it
names, and the counts that keep its shares and else stay as near to the model as they can.

Nearest in Kullback-Leibler divergence: iterative proportional fitting from the model's own joint
(Deming and Stephan 1940; Csiszar 1975). It reads synthetic rows only, so it is free.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl

from pipeline.draw_plan import Condition, DrawPlan, Target, cell_words
from pipeline.plan_slices import is_within, meets, slices
from pipeline.refusal import Refusal
from pipeline.schema.column_values import Column

MOST_CELLS = 4096
PILOT = 50_000  # synthetic rows that show the model's own shares
_UNSEEN = 0.1  # rows that a legal cell is worth which none of the pilot's rows is in
_STEPS, _CLOSE = 2000, 1e-9

# a cell's conditions by column -> whether any legal patient meets them
IsLegal = Callable[[Mapping[str, Condition]], bool]


@dataclass(frozen=True)
class PlanCell:
    """A cell of all columns with shares: its conditions, and how many patients it gets."""

    conditions: Mapping[str, Condition]
    rows: int


def plan_cells(
    columns: Mapping[str, Column],
    plan: DrawPlan,
    n: int,
    pilot: Callable[[int], pl.DataFrame],
    is_legal: IsLegal,
) -> list[PlanCell]:
    """The cells with patients; their rows sum to n.

    pilot(m): m rows of the model under the plan's `where`. Raises Refusal for shares that no legal
    patient can have, that contradict each other, or that overlap.
    """
    grid = _Grid.of(columns, plan)
    own = grid.shares(pilot(PILOT))
    places = list(np.ndindex(own.shape))

    def legal(place: tuple[int, ...]) -> bool:
        return own[place] > 0 or is_legal(grid.conditions(place))

    constraints = [one for t in plan.targets for one in _constraints(grid, t, n, legal)]
    has_share = np.zeros(own.shape, bool)
    for mask, share in constraints:
        has_share |= mask & (share > 0)
    for place in places:
        if own[place] == 0 and has_share[place] and is_legal(grid.conditions(place)):
            own[place] = _UNSEEN / PILOT
    shares = _fit(own / own.sum(), constraints, plan)
    counts = _rounded(shares.ravel(), n).reshape(shares.shape)
    return [
        PlanCell(grid.conditions(place), int(counts[place])) for place in places if counts[place]
    ]


@dataclass(frozen=True)
class _Grid:
    """The slices of each column with shares; a cell is one slice of each."""

    columns: tuple[Column, ...]
    parts: tuple[tuple[Condition, ...], ...]

    @classmethod
    def of(cls, columns: Mapping[str, Column], plan: DrawPlan) -> _Grid:
        parts = []
        for name in plan.columns:
            targets = [target for target in plan.targets if name in target.columns]
            conditions = [c for t in targets for c in _conditions(t, name)]
            is_single = any(target.is_even for target in targets)
            parts.append(tuple(slices(columns[name], conditions, single=is_single)))
        n_cells = math.prod(len(part) for part in parts)
        if n_cells > MOST_CELLS:
            raise Refusal(
                f"plan: {' x '.join(plan.columns)} have {n_cells:,} cells, more than"
                f" {MOST_CELLS:,}: name fewer columns together, or wider cells"
            )
        return cls(tuple(columns[name] for name in plan.columns), tuple(parts))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(part) for part in self.parts)

    def conditions(self, place: tuple[int, ...]) -> dict[str, Condition]:
        return {
            column.name: part[at]
            for column, part, at in zip(self.columns, self.parts, place, strict=True)
        }

    def shares(self, rows: pl.DataFrame) -> np.ndarray:
        """Of the rows in each cell, float64 [slices of each column]."""
        places = np.zeros(len(rows), np.int64)
        for column, part in zip(self.columns, self.parts, strict=True):
            own = np.zeros(len(rows), np.int64)
            for at, condition in enumerate(part):
                own[rows.select(meets(column, condition).alias("met"))["met"].to_numpy()] = at
            places = places * len(part) + own
        counts = np.bincount(places, minlength=math.prod(self.shape)).reshape(self.shape)
        return counts / max(len(rows), 1)

    def mask(self, names: Sequence[str], conditions: Sequence[Condition]) -> np.ndarray:
        """The cells within these conditions, bool [slices of each column]."""
        mask = np.ones(self.shape, bool)
        by_name = dict(zip(names, conditions, strict=True))
        for axis, (column, part) in enumerate(zip(self.columns, self.parts, strict=True)):
            if column.name in by_name:
                inside = np.array([is_within(column, one, by_name[column.name]) for one in part])
                mask &= inside.reshape([-1 if a == axis else 1 for a in range(len(self.parts))])
        return mask


def _conditions(target: Target, name: str) -> list[Condition]:
    at = target.columns.index(name)
    return [cell.conditions[at] for cell in target.cells]


def _constraints(
    grid: _Grid, target: Target, n: int, is_legal: Callable[[tuple[int, ...]], bool]
) -> Iterator[tuple[np.ndarray, float]]:
    """(cells, the share that they have together) for each group of the target, and for the rest."""
    groups = list(_groups(grid, target, n, is_legal))
    rest = np.ones(grid.shape, bool)
    for mask, _, words in groups:
        if (mask & ~rest).any():
            raise Refusal(f"plan: {words} is in two cells of {' x '.join(target.columns)}")
        rest &= ~mask
    left = 1 - sum(share for _, share, _ in groups)
    if left < -1e-9:
        raise Refusal(
            f"plan: the cells of {' x '.join(target.columns)} ask for more than {n:,} patients"
        )
    for mask, share, words in groups:
        if share > 0 and not any(is_legal(tuple(place)) for place in np.argwhere(mask).tolist()):
            raise Refusal(f"plan: no legal patient has {words}")
        yield mask, share
    if rest.any() or left > 1e-9:
        yield rest, max(left, 0.0)


def _groups(
    grid: _Grid, target: Target, n: int, is_legal: Callable[[tuple[int, ...]], bool]
) -> Iterator[tuple[np.ndarray, float, str]]:
    for cell in target.cells:
        share = cell.share if cell.rows is None else cell.rows / max(n, 1)
        words = cell_words(target.columns, cell.conditions)
        yield grid.mask(target.columns, cell.conditions), float(share or 0.0), words
    if target.is_even:
        columns = {column.name: column for column in grid.columns}
        values = [columns[name].categories for name in target.columns]
        masks = []
        for combination in product(*values):
            conditions = [(value,) for value in combination]
            mask = grid.mask(target.columns, conditions)
            if any(is_legal(tuple(place)) for place in np.argwhere(mask).tolist()):
                masks.append((mask, cell_words(target.columns, conditions)))
        for mask, words in masks:
            yield mask, 1 / len(masks), words


def _fit(
    shares: np.ndarray, constraints: Sequence[tuple[np.ndarray, float]], plan: DrawPlan
) -> np.ndarray:
    """Iterative proportional fitting; raises Refusal where the constraints cannot all hold."""
    for _ in range(_STEPS):
        worst = 0.0
        for mask, goal in constraints:
            total = float(shares[mask].sum())
            if total > 0:
                shares = np.where(mask, shares * (goal / total), shares)
            worst = max(worst, abs(total - goal))
        if worst < _CLOSE:
            return shares / shares.sum()
    if worst < 1e-4:  # it converges slowly where a cell must vanish
        return shares / shares.sum()
    raise Refusal(
        f"plan: the shares of {', '.join(plan.columns)} cannot hold together (they miss by"
        f" {100 * worst:.3g} points): no legal patients are left for what the named cells leave, or"
        " two entries contradict each other"
    )


def _rounded(shares: np.ndarray, n: int) -> np.ndarray:
    """Whole numbers with sum n; what neighbouring cells have together is right within a patient."""
    ends = np.floor(np.cumsum(shares) / max(shares.sum(), 1e-300) * n + 0.5).astype(np.int64)
    ends[-1:] = n
    return np.diff(ends, prepend=0)
