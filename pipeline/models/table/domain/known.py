"""Published tables in the model's cells and groups: what a declaration's `known:` says of a column
or of two. Public: nothing here has seen a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.values.symbols import Grouping, Pair, Symbols
from pipeline.schema.values import KnownTable, Level

_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class KnownColumn:
    """Published shares of one column. `levels` [levels] of it, `shares` float64 [levels]."""

    name: str
    weight: float  # patients that the table is worth at most
    domain: Domain
    levels: tuple[Level, ...]
    shares: np.ndarray

    def spread(
        self, counts: np.ndarray, grouping: Grouping | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(shares float64 [n], which of them the table speaks of, bool [n]), over the groups of a
        grouping or, without one, over a categorical column's cells.

        counts: noisy, [n]; a level that spans several is shared out by them.
        """
        within = (
            group_levels(self.domain, grouping.symbols, self.levels)
            if grouping is not None
            else _category_levels(self.domain, self.levels)
        )
        mass = within * (np.maximum(counts, 0.0) + 1e-3 * max(float(counts.sum()), 1.0))
        present = mass.sum(1) > 0
        shares = (self.shares[present] / mass[present].sum(1)) @ mass[present]
        covered = within.sum(0) >= 0.5
        shares = np.where(covered, shares, 0.0)
        return shares / max(float(shares.sum()), 1e-12), covered


@dataclass(frozen=True, eq=False)
class KnownPair:
    """Published shares of two columns, float64 [levels of a, levels of b]."""

    name: str
    weight: float
    levels: tuple[tuple[Level, ...], tuple[Level, ...]]
    shares: np.ndarray

    def joint(
        self,
        start: np.ndarray,
        within: tuple[np.ndarray, np.ndarray],
        margins: tuple[np.ndarray, np.ndarray],
    ) -> np.ndarray:
        """The joint distribution with these margins in which the two columns hang together as
        published, float64 [groups a, groups b].

        start: a joint over groups, 0 where a pair is impossible. within: share of each group that
        lies in each level, [levels, groups], of both columns. Iterative proportional fitting to the
        published table and to the margins in turn (Deming and Stephan 1940), margins last.
        """
        of_a, of_b = within
        outside = 1 - np.outer(of_a.sum(0), of_b.sum(0)).clip(0, 1)
        joint = start
        for _ in range(_ROUNDS):
            now = of_a @ joint @ of_b.T
            # a published zero is a rounded one
            goal = self.shares + 0.5 / self.weight * now / max(float(now.sum()), 1e-12)
            ratio = np.where(now > 1e-12, goal / goal.sum() * now.sum() / np.maximum(now, 1e-12), 1)
            joint = rake(joint * (of_a.T @ ratio.clip(1e-3, 1e3) @ of_b + outside), *margins)
        return joint


def known_columns(
    tables: Sequence[KnownTable], domains: Mapping[str, Domain]
) -> dict[str, tuple[KnownColumn, ...]]:
    """What is known of single columns: tables of that column alone, or else the first table that
    holds it among others, so that no source counts twice.
    """
    tables_by_column: dict[str, tuple[KnownColumn, ...]] = {}
    for table in sorted(tables, key=lambda table: len(table.columns) > 1):
        cells = np.array(table.shares).reshape([len(levels) for levels in table.levels])
        for axis, name in enumerate(table.columns):
            is_alone = len(table.columns) == 1
            if name not in domains or (name in tables_by_column and not is_alone):
                continue
            others = tuple(place for place in range(cells.ndim) if place != axis)
            column = KnownColumn(
                table.name, table.weight, domains[name], table.levels[axis], cells.sum(others)
            )
            tables_by_column[name] = (*tables_by_column.get(name, ()), column)
    return tables_by_column


def known_pairs(
    tables: Sequence[KnownTable], names: Sequence[str]
) -> dict[Pair, tuple[KnownPair, ...]]:
    """What is known of pairs of columns, in the model's order: every table that holds both, as they
    are declared. Of values of which two tables speak, the first counts.
    """
    by_pair: dict[Pair, tuple[KnownPair, ...]] = {}
    for table in tables:
        cells = np.array(table.shares).reshape([len(levels) for levels in table.levels])
        for one, other in combinations(range(cells.ndim), 2):
            if not {table.columns[one], table.columns[other]} <= set(names):
                continue
            axes = sorted((one, other), key=lambda axis: names.index(table.columns[axis]))
            pair = (table.columns[axes[0]], table.columns[axes[1]])
            shares = cells.sum(tuple(a for a in range(cells.ndim) if a not in axes))
            shares = shares if axes == sorted(axes) else shares.T
            levels = (table.levels[axes[0]], table.levels[axes[1]])
            one_more = KnownPair(table.name, table.weight, levels, shares)
            by_pair[pair] = (*by_pair.get(pair, ()), one_more)
    return by_pair


def group_levels(domain: Domain, symbols: Symbols, levels: Sequence[Level]) -> np.ndarray:
    """Share of each group that lies in each level, float64 [levels, groups]."""
    if not domain.is_numeric:
        of_symbol = _category_levels(domain, levels)
    else:
        of_symbol = np.stack([_number_level(domain, symbols, level) for level in levels])
    weighted = of_symbol * symbols.share
    return np.stack([np.bincount(symbols.group, row, symbols.groups) for row in weighted])


def _category_levels(domain: Domain, levels: Sequence[Level]) -> np.ndarray:
    """1 where a cell is in a level, float64 [levels, cells]."""
    labels = domain.labels()
    return np.array([[float(label in set(level.values)) for label in labels] for level in levels])


def _number_level(domain: Domain, symbols: Symbols, level: Level) -> np.ndarray:
    """Share of each symbol's lattice points that lie in the level, float64 [symbols]."""
    shares = np.zeros(len(symbols.group))
    if None in level.values:
        shares[symbols.missing] = 1.0
    if level.low is None or level.high is None:
        return shares
    low, high = (int(point) for point in domain.lattice(np.array([level.low, level.high])))
    inside = np.minimum(symbols.stop, high + 1) - np.maximum(symbols.start, low)
    length = np.maximum(symbols.stop - symbols.start, 1)
    shares = np.where(symbols.stop > symbols.start, inside.clip(min=0) / length, shares)
    for place, atom in enumerate(domain.atoms):
        shares[symbols.atom == place] = float(level.low <= atom <= level.high)
    return shares


def rake(joint: np.ndarray, rows: np.ndarray, columns: np.ndarray, rounds: int = 20) -> np.ndarray:
    """Iterative proportional fitting to the margins (Deming and Stephan 1940)."""
    for _ in range(rounds):
        joint = joint * (rows / np.maximum(joint.sum(1), 1e-300))[:, None]
        joint = joint * (columns / np.maximum(joint.sum(0), 1e-300))
    return joint
