"""Drawing rows from the latent table: a code per row, then each column in declared order, legal by
construction. Free of privacy cost.

A column's chances given a code are its groups' times the shares of symbols within the group; those
of an edge's child depend on its parent's group as well (edges.py). What the implications forbid
given the values drawn already is masked and the rest renormalised; conditions restrict the symbols
beforehand (conditions.py). Nothing is rejected for them. Declared targets come last, each from all
other columns at once (target.py).

The uniform numbers are a scrambled Sobol net (Owen 1997) in random order, one dimension for the
code and one per column: each row is distributed as with independent numbers, but rows share the
space out evenly, so a draw strays less from the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import qmc

from pipeline.models.sampling import pick
from pipeline.models.table.domain.bins import Symbols
from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.domain.legality import Relations
from pipeline.models.table.domain.lines import Line
from pipeline.models.table.fit.edges import Edge
from pipeline.models.table.fit.target import TargetHead
from pipeline.refusal import Refusal

_BELOW_ONE = 1 - 1e-9  # keeps code + uniform below the next code in floats
_CHUNK = 16384  # rows whose masked chances are held at once
_CANDIDATES = 8  # rows drawn for each row wanted, where a target drawn last is conditioned on


@dataclass(frozen=True, eq=False)
class Head:
    """One column ready to draw: what each symbol is, its chance per code, and the running sums that
    a uniform number is looked up in.
    """

    symbols: Symbols
    chances: np.ndarray  # float64 [codes, symbols], rows sum to 1
    ladder: np.ndarray  # float64 [codes * symbols], code k's running sums lie in (k, k + 1]


@dataclass(frozen=True, eq=False)
class Child:
    """A column at the end of an edge, ready to draw: its groups' chances per code times what they
    leave of the parent's word.
    """

    edge: Edge
    symbols: Symbols
    chances: np.ndarray  # float64 [codes, groups]
    # float64 [groups parent, groups]; 0 where conditions leave nothing of a group
    ratio: np.ndarray


@dataclass(frozen=True, eq=False)
class Rows:
    """Drawn rows: symbols and codes, int64 [n]; places in [0, 1) within the symbol for the columns
    that edges join.
    """

    symbols: dict[str, np.ndarray]
    codes: np.ndarray
    places: dict[str, np.ndarray]

    def take(self, kept: np.ndarray) -> Rows:
        return Rows(
            {name: values[kept] for name, values in self.symbols.items()},
            self.codes[kept],
            {name: values[kept] for name, values in self.places.items()},
        )


@dataclass(frozen=True, eq=False)
class Sampler:
    """Heads and code weights under one set of conditions."""

    names: tuple[str, ...]
    heads: dict[str, Head | Child]
    code_chances: np.ndarray  # float64 [codes], sums to 1
    linked: Relations
    # int64 [symbols], the unconditioned symbol that each one comes from
    origins: dict[str, np.ndarray]
    lines: Mapping[str, Line] = field(default_factory=dict)  # of the columns that edges join
    targets: tuple[TargetHead, ...] = ()
    # targets under a condition: float64 [codes], P(allowed | code)
    conditioned: Mapping[str, np.ndarray] = field(default_factory=dict)

    def draw(self, n: int, rng: np.random.Generator) -> Rows:
        """n rows.

        Under a condition on a target the codes already favour it by the generator's own word. Of
        `_CANDIDATES` rows each then n stay by how much more likely the head finds the condition
        (sampling importance resampling, Rubin 1988).
        """
        if not self.conditioned:
            return self._candidates(n, rng)[0]
        rows, weights = self._candidates(n * _CANDIDATES, rng)
        ladder = np.cumsum(weights)
        kept = np.searchsorted(
            ladder,
            (np.arange(n) + rng.random(n)) / max(n, 1) * ladder[-1] if n else np.empty(0),
            side="right",
        )
        return rows.take(rng.permutation(kept.clip(max=max(len(ladder) - 1, 0))))

    def _candidates(self, n: int, rng: np.random.Generator) -> tuple[Rows, np.ndarray]:
        """(rows, weights [n]): columns from the codes, then targets from the rows."""
        even = _even(n, len(self.names) + 1, rng)
        ladder = np.cumsum(self.code_chances)
        codes = np.searchsorted(ladder, even[:, 0] * ladder[-1], side="right").clip(
            max=len(ladder) - 1
        )
        last = {head.target for head in self.targets}
        rows = Rows({}, codes, {})
        for place, name in enumerate(self.names, start=1):
            if name in last:
                continue
            head = self.heads[name]
            if isinstance(head, Child):
                rows.symbols[name], rows.places[name] = self._from_parent(
                    head, rows, even[:, place] * _BELOW_ONE, rng
                )
                continue
            picked = (
                np.searchsorted(head.ladder, codes + even[:, place] * _BELOW_ONE, side="right")
                - codes * head.chances.shape[1]
            )
            picked = picked.clip(0, head.chances.shape[1] - 1)
            parents = [
                (rows.symbols[a], matrix) for (a, b), matrix in self.linked.items() if b == name
            ]
            rows.symbols[name] = _legal(head, codes, picked, parents, rng) if parents else picked
            if name in self.lines:
                rows.places[name] = rng.random(n)
        return rows, self._draw_targets(rows, even)

    def _from_parent(
        self, head: Child, rows: Rows, uniform: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(symbols, places within them): a group given code and parent's group, a place in it by
        the normal copula.
        """
        parent, n = head.edge.parent, len(rows.codes)
        given = self.heads[parent].symbols.group[rows.symbols[parent]]
        groups = np.empty(n, np.int64)
        for first in range(0, n, _CHUNK):
            part = slice(first, first + _CHUNK)
            groups[part] = pick(
                head.chances[rows.codes[part]] * head.ratio[given[part]], uniform[part]
            )
        scores = self.lines[parent].scores(rows.symbols[parent], rows.places[parent])
        picked, places = self.lines[head.edge.child].place(
            groups, rng.random(n), scores, head.edge.correlation
        )
        if head.symbols.missing.any():
            symbol = int(np.flatnonzero(head.symbols.missing)[0])
            picked = np.where(groups == head.symbols.group[symbol], symbol, picked)
        return picked, places

    def _draw_targets(self, rows: Rows, even: np.ndarray) -> np.ndarray:
        """Adds the targets to the rows; returns how much likelier each row makes the conditions on
        them than its code does, [n].
        """
        weights = np.ones(len(rows.codes))
        groups = {
            name: self.heads[name].symbols.group[symbols] for name, symbols in rows.symbols.items()
        }
        for target in self.targets:
            name, symbols = target.target, self.heads[target.target].symbols
            chances = target.chances(groups)[:, symbols.group] * symbols.share
            mass = chances.sum(1)
            if name in self.conditioned:
                weights = weights * mass / np.maximum(self.conditioned[name][rows.codes], 1e-12)
            rows.symbols[name] = pick(chances, even[:, self.names.index(name) + 1] * _BELOW_ONE)
            groups[name] = symbols.group[rows.symbols[name]]
        return weights


def _even(n: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """n points of a scrambled Sobol net in random order, float64 [n, dimensions] in [0, 1)."""
    with warnings.catch_warnings():
        # n need not be a power of two: the net is then a little less even
        warnings.simplefilter("ignore", UserWarning)
        points = qmc.Sobol(dimensions, scramble=True, seed=rng).random(n)
    return points[rng.permutation(n)]


def _legal(
    head: Head,
    codes: np.ndarray,
    picked: np.ndarray,
    parents: Sequence[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
) -> np.ndarray:
    """Picks again, among what the parents allow, for the rows whose pick is forbidden: together
    that is the renormalised distribution.

    P(keep) + P(pick again) = p + (1 - sum of allowed p) p / (sum of allowed p) = p / (sum of
    allowed p) for each allowed symbol.
    """
    fine = np.ones(len(codes), bool)
    for values, matrix in parents:
        fine &= matrix[values, picked]
    again = np.flatnonzero(~fine)
    picked = picked.copy()
    for first in range(0, len(again), _CHUNK):
        rows = again[first : first + _CHUNK]
        allowed = np.ones((len(rows), head.chances.shape[1]), bool)
        for values, matrix in parents:
            allowed &= matrix[values[rows]]
        dead = ~allowed.any(1)
        chances = head.chances[codes[rows]] * allowed
        empty = (chances.sum(1) <= 1e-12) & ~dead
        chances[empty] = allowed[empty]
        picked[rows] = np.where(dead, -1, pick(chances, rng.random(len(rows))))
    if (picked < 0).any():
        raise Refusal(
            "the declared implications leave no value of a column for some combination of three or"
            " more parents: add the implication that rules the combination out"
        )
    return picked


def values_of(
    cells: Domain, symbols: Symbols, picked: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Numeric values, float64 [n], by their places in [0, 1) over the lattice points of the range;
    atoms exact, NaN for missing.
    """
    width = (symbols.stop - symbols.start)[picked]
    points = symbols.start[picked] + np.floor(places * width).astype(np.int64)
    values = cells.values(points)
    if cells.atoms:
        atom = symbols.atom[picked]
        values = np.where(atom >= 0, np.array(cells.atoms)[atom], values)
    if symbols.missing.any():
        values[symbols.missing[picked]] = np.nan
    return values
