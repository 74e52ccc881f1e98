"""Drawing rows from the latent table: a code per row, then each column in declared order, legal by construction. Free of privacy cost.

A column's chances given a code are its groups' times the shares of symbols within the group. What the implications forbid given the
values drawn already is masked and the rest renormalised; conditions restrict the symbols beforehand. Nothing is rejected for them.
Declared targets come last, each from all other columns at once (target.py).

The uniform numbers are a scrambled Sobol net (Owen 1997) in random order, one dimension for the code and one per column: each row is
distributed as with independent numbers, but rows share the space out evenly, so a draw strays less from the model.
"""
from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import qmc

from pipeline.models.table.bins import Symbols
from pipeline.models.table.encode import Domain
from pipeline.models.table.legality import Relations, close
from pipeline.models.table.prompts import restrict
from pipeline.models.table.target import TargetHead

_BELOW_ONE = 1 - 1e-9  # keeps code + uniform below the next code in floats
_CHUNK = 16384  # rows whose masked chances are held at once
_CANDIDATES = 8  # rows drawn for each row wanted, where a target drawn last is conditioned on


@dataclass(frozen=True, eq=False)
class Head:
    """One column ready to draw: what each symbol is, its chance per code, and the running sums that a uniform number is looked up in."""

    symbols: Symbols
    chances: np.ndarray  # float64 [codes, symbols], rows sum to 1
    ladder: np.ndarray   # float64 [codes * symbols], code k's running sums lie in (k, k + 1]


@dataclass(frozen=True, eq=False)
class Sampler:
    """Heads and code weights under one set of conditions."""

    names: tuple[str, ...]
    heads: dict[str, Head]
    code_chances: np.ndarray  # float64 [codes], sums to 1
    linked: Relations
    origins: dict[str, np.ndarray]  # int64 [symbols], the unconditioned symbol that each one comes from
    targets: tuple[TargetHead, ...] = ()
    conditioned: Mapping[str, np.ndarray] = field(default_factory=dict)  # targets under a condition: float64 [codes], P(allowed | code)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """(symbols of each column, codes), each int64 [n].

        Under a condition on a target the codes already favour it by the generator's own word. Of `_CANDIDATES` rows each then n stay by
        how much more likely the head finds the condition (sampling importance resampling, Rubin 1988).
        """
        if not self.conditioned:
            drawn, codes, _ = self._candidates(n, rng)
            return drawn, codes
        drawn, codes, weights = self._candidates(n * _CANDIDATES, rng)
        ladder = np.cumsum(weights)
        kept = np.searchsorted(ladder, (np.arange(n) + rng.random(n)) / max(n, 1) * ladder[-1] if n else np.empty(0), side="right")
        kept = rng.permutation(kept.clip(max=max(len(ladder) - 1, 0)))
        return {name: values[kept] for name, values in drawn.items()}, codes[kept]

    def _candidates(self, n: int, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """(symbols, codes, weights [n]): rows from the codes, then their targets from the rows."""
        even = _even(n, len(self.names) + 1, rng)
        ladder = np.cumsum(self.code_chances)
        codes = np.searchsorted(ladder, even[:, 0] * ladder[-1], side="right").clip(max=len(ladder) - 1)
        last = {head.target for head in self.targets}
        drawn: dict[str, np.ndarray] = {}
        for place, name in enumerate(self.names, start=1):
            if name in last:
                continue
            head = self.heads[name]
            picked = np.searchsorted(head.ladder, codes + even[:, place] * _BELOW_ONE, side="right") - codes * head.chances.shape[1]
            picked = picked.clip(0, head.chances.shape[1] - 1)
            parents = [(drawn[a], matrix) for (a, b), matrix in self.linked.items() if b == name]
            drawn[name] = _legal(head, codes, picked, parents, rng) if parents else picked
        weights = np.ones(n)
        groups = {name: self.heads[name].symbols.group[symbols] for name, symbols in drawn.items()}
        for target in self.targets:
            name, symbols = target.target, self.heads[target.target].symbols
            chances = target.chances(groups)[:, symbols.group] * symbols.share
            mass = chances.sum(1)
            if name in self.conditioned:
                weights = weights * mass / np.maximum(self.conditioned[name][codes], 1e-12)
            ladder = np.cumsum(chances, 1)
            below = even[:, self.names.index(name) + 1] * _BELOW_ONE * mass
            drawn[name] = (ladder <= below[:, None]).sum(1).clip(max=len(symbols.group) - 1)
            groups[name] = symbols.group[drawn[name]]
        return drawn, codes, weights


def sampler(names: Sequence[str], domains: Mapping[str, Domain], symbols: Mapping[str, Symbols], table: Mapping[str, np.ndarray],
            found: Relations, where: Mapping[str, Any] | None = None, targets: Sequence[TargetHead] = ()) -> Sampler:
    """Heads for these conditions. table[name]: float [codes, groups]. `found`: relations between whole columns, not yet closed.

    Codes are weighted by the product over conditioned columns of P(allowed | code): what a filter on independent columns would keep.
    Raises ValueError for an unknown column, or conditions that no legal row can meet.
    """
    where = dict(where or {})
    unknown = sorted(set(where) - set(names))
    if unknown:
        raise ValueError(f"where names {', '.join(unknown)}, which the model does not have; it has {', '.join(names)}")
    kept, origin = {}, {}
    for name in names:
        whole = np.arange(len(symbols[name].group))
        kept[name], origin[name] = restrict(domains[name], symbols[name], where[name]) if name in where else (symbols[name], whole)
    seen = {(a, b): matrix[np.ix_(origin[a], origin[b])] for (a, b), matrix in found.items()}
    alive, linked = close(names, {name: np.ones(len(kept[name].group), bool) for name in names}, seen)
    weights = np.ones(len(next(iter(table.values()))))
    made: dict[str, Head] = {}
    conditioned: dict[str, np.ndarray] = {}
    last = {head.target for head in targets}
    for name in names:
        chances = table[name].astype(np.float64)[:, kept[name].group] * (kept[name].share * alive[name])
        mass = chances.sum(1, keepdims=True)
        even = alive[name] * np.maximum(kept[name].share, 1e-12)  # where a code has no mass on what is allowed
        chances = np.where(mass > 1e-12, chances / np.maximum(mass, 1e-300), even / even.sum())
        if name in where:
            weights = weights * mass[:, 0]
            if name in last:
                conditioned[name] = mass[:, 0]
        ladder = np.cumsum(chances, 1)
        ladder = ladder / ladder[:, -1:] + np.arange(len(chances))[:, None]
        made[name] = Head(kept[name], chances, ladder.ravel())
    total = weights.sum()
    code_chances = weights / total if total > 1e-300 else np.full(len(weights), 1 / len(weights))
    binding = {key: matrix for key, matrix in linked.items() if not matrix[np.ix_(alive[key[0]], alive[key[1]])].all()}
    return Sampler(tuple(names), made, code_chances, binding, origin, tuple(targets), conditioned)


def _even(n: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """n points of a scrambled Sobol net in random order, float64 [n, dimensions] in [0, 1)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # n need not be a power of two: the net is then a little less even
        points = qmc.Sobol(dimensions, scramble=True, seed=rng).random(n)
    return points[rng.permutation(n)]


def _legal(head: Head, codes: np.ndarray, picked: np.ndarray, parents: Sequence[tuple[np.ndarray, np.ndarray]],
           rng: np.random.Generator) -> np.ndarray:
    """Picks again, among what the parents allow, for the rows whose pick is forbidden: together that is the renormalised distribution.

    P(keep) + P(pick again) = p + (1 - sum of allowed p) p / (sum of allowed p) = p / (sum of allowed p) for each allowed symbol.
    """
    fine = np.ones(len(codes), bool)
    for values, matrix in parents:
        fine &= matrix[values, picked]
    again = np.flatnonzero(~fine)
    picked = picked.copy()
    for first in range(0, len(again), _CHUNK):
        rows = again[first:first + _CHUNK]
        allowed = np.ones((len(rows), head.chances.shape[1]), bool)
        for values, matrix in parents:
            allowed &= matrix[values[rows]]
        dead = ~allowed.any(1)
        chances = head.chances[codes[rows]] * allowed
        empty = (chances.sum(1) <= 1e-12) & ~dead
        chances[empty] = allowed[empty]
        ladder = np.cumsum(chances, 1)
        found = (ladder <= (rng.random(len(rows)) * ladder[:, -1])[:, None]).sum(1)
        picked[rows] = np.where(dead, -1, found.clip(max=head.chances.shape[1] - 1))
    if (picked < 0).any():
        raise ValueError("the declared implications leave no value of a column for some combination of three or more parents: "
                         "add the implication that rules the combination out")
    return picked


def values_of(cells: Domain, symbols: Symbols, picked: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Numeric values, float64 [n]: uniform over the lattice points of the range, atoms exact, NaN for missing."""
    width = (symbols.stop - symbols.start)[picked]
    points = symbols.start[picked] + np.floor(rng.random(len(picked)) * width).astype(np.int64)
    values = cells.values(points)
    if cells.atoms:
        atom = symbols.atom[picked]
        values = np.where(atom >= 0, np.array(cells.atoms)[atom], values)
    if symbols.missing.any():
        values[symbols.missing[picked]] = np.nan
    return values
