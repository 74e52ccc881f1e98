"""Drawing rows from the latent table: a code per row, then each column in declared order, legal by
construction. Free of privacy cost.

A column's probabilities given a code are its groups' times the shares of symbols within the group;
those of an edge's child depend on its parent's group as well (fit/edges.py). What the implications
forbid given the values drawn already is masked and the rest renormalised; conditions restrict the
symbols beforehand (conditions.py). Nothing is rejected for them. Declared targets come last, each
from all other columns at once (fit/target.py).

The uniform numbers are a scrambled Sobol net (Owen 1997) in random order, one dimension for the
code and one per column: each row is distributed as with independent numbers, but rows share the
space out evenly, so a draw strays less from the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import qmc

from pipeline.models.sampling import draw_categorical
from pipeline.models.table.domain.quantiles import Quantiles
from pipeline.models.table.values.heads import ChildHead, Head, TargetHead
from pipeline.models.table.values.symbols import Relations
from pipeline.refusal import Refusal

_BELOW_ONE = 1 - 1e-9  # keeps code + uniform below the next code in floats
_CHUNK = 16384  # rows whose masked probabilities are in memory at once
_CANDIDATES = 8  # rows drawn for each row asked for, where a target drawn last is conditioned on


@dataclass(frozen=True, eq=False)
class Rows:
    """Drawn rows: symbols and latent codes, int64 [n]; positions in [0, 1) within the symbol for
    the columns that edges join.
    """

    symbols: dict[str, np.ndarray]
    codes: np.ndarray
    positions: dict[str, np.ndarray]

    def take(self, places: np.ndarray) -> Rows:
        return Rows(
            {name: values[places] for name, values in self.symbols.items()},
            self.codes[places],
            {name: values[places] for name, values in self.positions.items()},
        )


@dataclass(frozen=True, eq=False)
class Sampler:
    """Heads and code weights under one set of conditions."""

    names: tuple[str, ...]
    heads: dict[str, Head | ChildHead]
    code_probabilities: np.ndarray  # float64 [codes], sums to 1
    relations: Relations  # of the symbols left, where they forbid anything
    # int64 [symbols], the unconditioned symbol that each one comes from
    origins: dict[str, np.ndarray]
    # of the columns that edges join
    quantiles: Mapping[str, Quantiles] = field(default_factory=dict)
    targets: tuple[TargetHead, ...] = ()
    # targets under a condition: float64 [codes], P(condition | code)
    condition_probabilities: Mapping[str, np.ndarray] = field(default_factory=dict)

    def draw(self, n: int, rng: np.random.Generator) -> Rows:
        """n rows; equal for an equal state of rng. Raises Refusal where implications leave no
        value for a combination of three or more parents.

        Under a condition on a target the codes already favour it by the generator's own word. Of
        `_CANDIDATES` rows each then n stay by how much more likely the head finds the condition
        (sampling importance resampling, Rubin 1988).
        """
        if not self.condition_probabilities:
            return self._candidates(n, rng)[0]
        rows, weights = self._candidates(n * _CANDIDATES, rng)
        cumulative = np.cumsum(weights)
        places = np.searchsorted(
            cumulative,
            (np.arange(n) + rng.random(n)) / max(n, 1) * cumulative[-1] if n else np.empty(0),
            side="right",
        )
        return rows.take(rng.permutation(places.clip(max=max(len(cumulative) - 1, 0))))

    def _candidates(self, n: int, rng: np.random.Generator) -> tuple[Rows, np.ndarray]:
        """(rows, weights [n]): columns from the codes, then targets from the rows."""
        uniform = _sobol(n, len(self.names) + 1, rng)
        cumulative = np.cumsum(self.code_probabilities)
        codes = np.searchsorted(cumulative, uniform[:, 0] * cumulative[-1], side="right").clip(
            max=len(cumulative) - 1
        )
        targets = {head.target for head in self.targets}
        rows = Rows({}, codes, {})
        for place, name in enumerate(self.names, start=1):
            if name in targets:
                continue
            head = self.heads[name]
            if isinstance(head, ChildHead):
                symbols, positions = self._from_parent(
                    head, rows, uniform[:, place] * _BELOW_ONE, rng
                )
                legal = self._legal_child(name, head, rows, symbols, rng)
                if legal is not symbols:
                    positions = np.where(legal == symbols, positions, rng.random(n))
                rows.symbols[name], rows.positions[name] = legal, positions
                continue
            rows.symbols[name] = self._from_codes(name, head, rows, uniform[:, place], rng)
            if name in self.quantiles:
                rows.positions[name] = rng.random(n)
        return rows, self._draw_targets(rows, uniform)

    def _from_codes(
        self, name: str, head: Head, rows: Rows, uniform: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Symbols of a column given the codes, int64 [n], legal given the columns before it."""
        width = head.probabilities.shape[1]
        symbols = (
            np.searchsorted(head.cumulative, rows.codes + uniform * _BELOW_ONE, side="right")
            - rows.codes * width
        )
        symbols = symbols.clip(0, width - 1)
        parents = self._parents(name, rows)
        if not parents:
            return symbols
        return _legal(lambda at: head.probabilities[rows.codes[at]], symbols, parents, rng)

    def _parents(self, name: str, rows: Rows) -> list[tuple[np.ndarray, np.ndarray]]:
        """The columns drawn before that restrict this one, with what each value of them allows."""
        return [(rows.symbols[a], matrix) for (a, b), matrix in self.relations.items() if b == name]

    def _legal_child(
        self, name: str, head: ChildHead, rows: Rows, symbols: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """The same symbols, drawn again where a declared order forbids one."""
        parents = self._parents(name, rows)
        if not head.alive.all():
            parents.append((np.zeros(len(symbols), np.int64), head.alive[None]))
        if not parents:
            return symbols
        parent_groups = self.heads[head.edge.parent].symbols.group[rows.symbols[head.edge.parent]]

        def probabilities(at: np.ndarray) -> np.ndarray:
            groups = head.weights[rows.codes[at]] * head.ratio[parent_groups[at]]
            weights = groups[:, head.symbols.group] * head.symbols.share
            return np.asarray(weights / np.maximum(weights.sum(1, keepdims=True), 1e-300))

        return _legal(probabilities, symbols, parents, rng)

    def _from_parent(
        self, head: ChildHead, rows: Rows, uniform: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(symbols, positions within them): a group given code and parent's group, a position in it
        by the normal copula.
        """
        parent, n = head.edge.parent, len(rows.codes)
        parent_groups = self.heads[parent].symbols.group[rows.symbols[parent]]
        groups = np.empty(n, np.int64)
        for first in range(0, n, _CHUNK):
            part = slice(first, first + _CHUNK)
            groups[part] = draw_categorical(
                head.weights[rows.codes[part]] * head.ratio[parent_groups[part]], uniform[part]
            )
        scores = self.quantiles[parent].scores(rows.symbols[parent], rows.positions[parent])
        symbols, positions = self.quantiles[head.edge.child].place(
            groups, rng.random(n), scores, head.edge.correlation
        )
        if head.symbols.missing.any():
            missing = int(np.flatnonzero(head.symbols.missing)[0])
            symbols = np.where(groups == head.symbols.group[missing], missing, symbols)
        return symbols, positions

    def _draw_targets(self, rows: Rows, uniform: np.ndarray) -> np.ndarray:
        """Adds the targets to the rows; returns how much likelier each row makes the conditions on
        them than its code does, [n].
        """
        weights = np.ones(len(rows.codes))
        groups = {
            name: self.heads[name].symbols.group[symbols] for name, symbols in rows.symbols.items()
        }
        for head in self.targets:
            name, symbols = head.target, self.heads[head.target].symbols
            probabilities = head.probabilities(groups)[:, symbols.group] * symbols.share
            mass = probabilities.sum(1)
            if name in self.condition_probabilities:
                by_code = self.condition_probabilities[name][rows.codes]
                weights = weights * mass / np.maximum(by_code, 1e-12)
            rows.symbols[name] = draw_categorical(
                probabilities, uniform[:, self.names.index(name) + 1] * _BELOW_ONE
            )
            groups[name] = symbols.group[rows.symbols[name]]
        return weights


def _sobol(n: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """n points of a scrambled Sobol net in random order, float64 [n, dimensions] in [0, 1)."""
    with warnings.catch_warnings():
        # n need not be a power of two: the net is then a little less even
        warnings.simplefilter("ignore", UserWarning)
        points = qmc.Sobol(dimensions, scramble=True, seed=rng).random(n)
    return points[rng.permutation(n)]


def _legal(
    probabilities_of: Callable[[np.ndarray], np.ndarray],
    symbols: np.ndarray,
    parents: Sequence[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws again, among what the parents allow, for the rows whose symbol is forbidden: together
    that is the renormalised distribution.

    probabilities_of: of the symbols in some rows, float [rows, symbols]. parents: (symbols [n],
    bool [symbols parent, symbols]) each. P(keep) + P(draw again) =
    p + (1 - sum of allowed p) p / (sum of allowed p) = p / (sum of allowed p) for each allowed
    symbol.
    """
    is_legal = np.ones(len(symbols), bool)
    for values, matrix in parents:
        is_legal &= matrix[values, symbols]
    forbidden = np.flatnonzero(~is_legal)
    symbols = symbols.copy()
    for first in range(0, len(forbidden), _CHUNK):
        rows = forbidden[first : first + _CHUNK]
        legal = np.ones((len(rows), parents[0][1].shape[1]), bool)
        for values, matrix in parents:
            legal &= matrix[values[rows]]
        has_none = ~legal.any(1)
        probabilities = probabilities_of(rows) * legal
        is_empty = (probabilities.sum(1) <= 1e-12) & ~has_none
        probabilities[is_empty] = legal[is_empty]
        symbols[rows] = np.where(
            has_none, -1, draw_categorical(probabilities, rng.random(len(rows)))
        )
    if (symbols < 0).any():
        raise Refusal(
            "the declared implications leave no value of a column for some combination of three or"
            " more parents: add the implication that rules the combination out"
        )
    return symbols
