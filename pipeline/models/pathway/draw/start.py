"""Prompts on how pathways start: surgery first, then FOLFOX.

Choices that the prompt forbids are masked while a pathway is drawn. The pathway's weight is
multiplied by the share of the chances that is left, so that weighted pathways are distributed as
unprompted ones that happen to start so (sequential importance sampling; Liu and Chen 1998,
section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.models.pathway.domain.coding import Coding
from pipeline.refusal import Refusal


@dataclass(frozen=True)
class PathwayStart:
    """The events that come first in a pathway, in order: first among the treatments and the types
    named here.
    """

    events: tuple[str, ...]  # as they were asked for
    types: tuple[int, ...]
    codes: tuple[int, ...]  # place among the type's codes, -1: any
    watched: tuple[int, ...]  # types that may not come before their turn
    ends: tuple[int, ...]  # nor may these, before the last one has come


def pathway_start(coding: Coding, events: Sequence[str]) -> PathwayStart:
    """From `TYPE` or `TYPE=CODE` each, in order. Raises Refusal for a type or code that is not
    declared, or one that ends a pathway too early.
    """
    g, types, codes = coding.grammar, [], []
    for at, event in enumerate(events):
        name, _, code = event.partition("=")
        if name not in g.type_names:
            raise Refusal(
                f"begins names {name!r}, which is no event type; there are"
                f" {', '.join(g.type_names)}"
            )
        t = g.type_names.index(name)
        type_codes = [str(g.tokens[v][1]) for v in coding.tokens_of(t)]
        if code and code not in type_codes:
            raise Refusal(
                f"begins: {name} has no code {code!r}; it has"
                f" {', '.join(type_codes[:20])}{' ...' if len(type_codes) > 20 else ''}"
            )
        if g.terminal[t] and at < len(events) - 1:
            raise Refusal(f"begins: {name} ends a pathway, nothing can follow it")
        types.append(t)
        codes.append(type_codes.index(code) if code else -1)
    return PathwayStart(
        tuple(events),
        tuple(types),
        tuple(codes),
        tuple(sorted({*coding.treatments, *types})),
        tuple(int(t) for t in np.flatnonzero(g.terminal)),
    )


class StartConstraint:
    """How much of a start n pathways have so far, and what their choices so far weigh."""

    def __init__(self, start: PathwayStart, n: int) -> None:
        self._start = start
        self._at = np.zeros(n, np.int64)  # events of the start that have come
        self._log_weight = np.zeros(n)  # -inf where it cannot be met any more

    def take(self, index: np.ndarray) -> StartConstraint:
        """The pathways of these positions."""
        part = StartConstraint(self._start, 0)
        part._at, part._log_weight = self._at[index], self._log_weight[index]
        return part

    def types(self, chances: np.ndarray) -> np.ndarray:
        """Chances [n, T] of what may come; unchanged where nothing may, which has weight 0 then."""
        start, allowed = self._start, np.ones(chances.shape, bool)
        for k, t in enumerate(start.types):
            barred = sorted({*start.watched, *start.ends} - {t})
            allowed[np.ix_(self._at == k, barred)] = False
        return self._mask(np.arange(len(chances)), chances, allowed)

    def codes(self, rows: np.ndarray, t: int, chances: np.ndarray) -> np.ndarray:
        """Chances [m, codes] of the codes of the pathways `rows`, whose next event is of type t."""
        allowed = np.ones(chances.shape, bool)
        for k, (named, code) in enumerate(zip(self._start.types, self._start.codes, strict=True)):
            if named == t and code >= 0:
                allowed[np.ix_(self._at[rows] == k, np.arange(chances.shape[1]) != code)] = False
        return self._mask(rows, chances, allowed)

    def advance(self, kind: np.ndarray) -> np.ndarray:
        """After events of these types [n]: the log weight of each pathway so far, -inf while the
        start is not complete.
        """
        self._at += kind == np.append(self._start.types, -1)[self._at]
        return np.where(self._at < len(self._start.types), -np.inf, self._log_weight)

    def _mask(self, rows: np.ndarray, chances: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        masked = chances * allowed
        with np.errstate(divide="ignore"):
            self._log_weight[rows] += np.log(masked.sum(1) / chances.sum(1))
        return np.where(masked.sum(1, keepdims=True) > 0, masked, chances)
