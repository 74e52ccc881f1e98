"""The parts of a fitted model that rows are drawn from: one head per column, edges between columns,
heads of declared targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.models.table.values.symbols import Pair, Symbols

_CHUNK = 65_536  # rows whose class probabilities are computed at once


@dataclass(frozen=True, eq=False)
class Edge:
    """A column (the child) that is drawn from one before it (the parent).

    ratio: float32 [groups parent, groups child], above 0: factor on the child's probabilities.
    correlation: of the two columns' normal scores, in (-1, 1), for positions inside bins.
    """

    parent: str
    child: str
    ratio: np.ndarray
    correlation: float

    def description(self) -> dict[str, Any]:
        """All but the ratio, for JSON."""
        return {"parent": self.parent, "child": self.child, "correlation": self.correlation}


@dataclass(frozen=True, eq=False)
class Head:
    """One column ready to draw: what each symbol is, its probability per latent code, and the
    running sums that a uniform number is looked up in.
    """

    symbols: Symbols
    probabilities: np.ndarray  # float64 [codes, symbols], rows sum to 1
    cumulative: np.ndarray  # float64 [codes * symbols], code k's running sums lie in (k, k + 1]


@dataclass(frozen=True, eq=False)
class ChildHead:
    """The child of an edge, ready to draw: its groups' weights per latent code, times the ratio to
    its parent's group.
    """

    edge: Edge
    symbols: Symbols
    weights: np.ndarray  # float64 [codes, groups]
    # float64 [groups parent, groups]; 0 where conditions leave nothing of a group
    ratio: np.ndarray
    alive: np.ndarray  # bool [symbols], what declared orders leave under the conditions


@dataclass(frozen=True, eq=False)
class TargetHead:
    """A conditional maximum-entropy model of one target given all other columns: log-linear weights
    of its classes; those of the first class are 0.
    """

    target: str
    bias: np.ndarray  # float32 [classes]
    ones: dict[str, np.ndarray]  # float32 [groups, classes] by column
    pairs: dict[Pair, np.ndarray]  # float32 [coarse a, coarse b, classes]
    # int64 [groups a], [groups b]: coarse group of each
    coarse: dict[Pair, tuple[np.ndarray, np.ndarray]]

    def probabilities(self, groups: Mapping[str, np.ndarray]) -> np.ndarray:
        """p(class | row), float64 [n, classes]. groups: group of each row by column, int64 [n]."""
        n = len(next(iter(groups.values())))
        weights = np.empty((n, len(self.bias)))
        for first in range(0, n, _CHUNK):
            rows = slice(first, first + _CHUNK)
            scores = np.tile(self.bias.astype(np.float64), (len(weights[rows]), 1))
            for name, one in self.ones.items():
                scores += one[groups[name][rows]]
            for (a, b), pair in self.pairs.items():
                of_a, of_b = self.coarse[a, b]
                scores += pair[of_a[groups[a][rows]], of_b[groups[b][rows]]]
            weights[rows] = np.exp(scores - scores.max(1, keepdims=True))
        return weights / weights.sum(1, keepdims=True)

    def description(self) -> dict[str, Any]:
        """Which columns the arrays of `arrays` belong to; JSON."""
        return {
            "target": self.target,
            "ones": list(self.ones),
            "pairs": [list(pair) for pair in self.pairs],
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights by the names under which a model is saved."""
        arrays = {"bias": self.bias} | {
            f"one/{place}": weights for place, weights in enumerate(self.ones.values())
        }
        for place, (pair, weights) in enumerate(self.pairs.items()):
            arrays |= {
                f"pair/{place}": weights,
                f"coarse/{place}/0": self.coarse[pair][0],
                f"coarse/{place}/1": self.coarse[pair][1],
            }
        return arrays

    @classmethod
    def from_arrays(
        cls, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> TargetHead:
        """The head that `described` and `arrays` wrote."""
        pairs = [(a, b) for a, b in description["pairs"]]
        return cls(
            description["target"],
            arrays["bias"],
            {name: arrays[f"one/{k}"] for k, name in enumerate(description["ones"])},
            {pair: arrays[f"pair/{k}"] for k, pair in enumerate(pairs)},
            {
                pair: (arrays[f"coarse/{k}/0"], arrays[f"coarse/{k}/1"])
                for k, pair in enumerate(pairs)
            },
        )
