"""What the network sees of a pathway before its next event: one code for training and for sampling.

A state is the grammar's walk plus a short memory. `features` writes each part of it as one number of its own range, so that a single
embedding table holds them all (pathway_model.md, "State").
"""
from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import polars as pl

from pipeline.models.grammar import Grammar, Walk, start, step
from pipeline.models.pathway.encode import Codec, Gaps

COUNT_EDGES = np.array([0, 1, 2, 3, 5, 9])  # 0, 1, 2, 3-4, 5-8, 9 and more
SEQ_EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30, 40, 60, 90])
DAY_EDGES = np.array([-60, -30, -14, 0, 1, 8, 15, 29, 43, 61, 91, 121, 181, 271, 366, 548, 731, 1096, 1461, 1826, 2556, 3651])


@dataclass(frozen=True)
class Coding:
    """The public vocabulary of one dataset: tokens, waiting times, attributes and static columns as numbers."""

    grammar: Grammar
    gaps: Gaps
    attributes: tuple[Codec, ...]
    statics: tuple[Codec, ...]
    rich: bool  # past attributes and contexts that never close are features too

    @property
    def contexts(self) -> tuple[int, ...]:
        """Positions among the grammar's openers whose code and age are features."""
        return tuple(o for o in range(len(self.grammar.openers)) if self.rich or self.grammar.closes[:, o].any())

    @property
    def ranges(self) -> tuple[int, ...]:
        """Size of each feature, in the order of `features`."""
        g = self.grammar
        contexts = tuple(2 + int(sum(g.token_type == g.openers[o])) for o in self.contexts)
        remembered = tuple(c.size + 1 for c in self.attributes) if self.rich else ()
        return (g.n_tokens + 1, g.n_types + 1, g.n_types + 1, len(self.gaps.edges) + 1, *remembered, *contexts,
                *([len(COUNT_EDGES)] * len(contexts)), *([len(COUNT_EDGES)] * g.n_types), len(SEQ_EDGES), len(DAY_EDGES) + 1)

    @property
    def offsets(self) -> np.ndarray:
        return np.cumsum([0, *self.ranges[:-1]]).astype(np.int32)

    def static_codes(self, patients: pl.DataFrame) -> np.ndarray:
        """Rows of the static embedding table, int64 [n, columns]."""
        offsets = np.cumsum([0, *(c.size for c in self.statics)])
        columns = [c.encode(patients[c.column.name]).astype(np.int64) + offsets[i] for i, c in enumerate(self.statics)]
        return np.stack(columns, axis=1) if columns else np.zeros((patients.height, 0), np.int64)

    def carries(self) -> np.ndarray:
        """[T, A] bool: which attributes each event type has."""
        return np.array([[c.column.name in kind.attributes for c in self.attributes] for kind in self.grammar.log.types.values()],
                        bool).reshape(self.grammar.n_types, len(self.attributes))


@dataclass
class State:
    """n pathways after the events so far."""

    walk: Walk
    token: np.ndarray      # [n] last token, V before the first
    before: np.ndarray     # [n, 2] types of the two events before it, T for none
    gap: np.ndarray        # [n] bin of the last waiting time, G for none
    attribute: np.ndarray  # [n, A] last value of each attribute, its codec's size for none yet
    context: np.ndarray    # [n, O] 1 + which code the latest opener had, 0 when closed
    since: np.ndarray      # [n, O] events since it was opened

    def take(self, index: np.ndarray | slice) -> State:
        return State(self.walk.take(index), *(getattr(self, f.name)[index] for f in fields(self)[1:]))


def begin(coding: Coding, patients: pl.DataFrame) -> State:
    """The state before the first event."""
    n, g = patients.height, coding.grammar
    none = np.array([c.size for c in coding.attributes], np.int16)
    return State(walk=start(g, patients), token=np.full(n, g.n_tokens, np.int16), before=np.full((n, 2), g.n_types, np.int16),
                 gap=np.full(n, len(coding.gaps.edges), np.int16), attribute=np.tile(none, (n, 1)),
                 context=np.zeros((n, len(g.openers)), np.int16), since=np.zeros((n, len(g.openers)), np.int16))


def advance(coding: Coding, state: State, token: np.ndarray, day: np.ndarray, gap: np.ndarray, attribute: np.ndarray) -> None:
    """Moves on by one event, in place. token, day, gap [n]; attribute [n, A] codes, -1 where the event has none."""
    g = coding.grammar
    kind = g.token_type[token]
    state.before[:, 1] = state.before[:, 0]
    state.before[:, 0] = np.where(state.token == g.n_tokens, g.n_types, np.append(g.token_type, 0)[state.token])
    state.token[:] = token
    state.gap[:] = gap
    state.attribute[:] = np.where(attribute >= 0, attribute, state.attribute)
    step(g, state.walk, token, day)
    state.since += 1
    for o, opener in enumerate(g.openers):
        opened = kind == opener
        state.context[opened, o] = 1 + token[opened] - int(np.argmax(g.token_type == opener))
        state.since[opened, o] = 0
        state.context[~state.walk.open[:, o], o] = 0


def features(coding: Coding, state: State) -> np.ndarray:
    """Rows of the event embedding table, int32 [n, features]."""
    def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
        return np.searchsorted(edges, values, side="right")

    contexts = list(coding.contexts)
    since = np.where(state.context > 0, binned(state.since, COUNT_EDGES) - 1, 0)
    columns = [state.token[:, None], state.before, state.gap[:, None], state.attribute if coding.rich else state.attribute[:, :0],
               state.context[:, contexts], since[:, contexts],
               binned(state.walk.counts, COUNT_EDGES) - 1, binned(state.walk.used, SEQ_EDGES)[:, None] - 1,
               np.where(state.walk.used > 0, binned(state.walk.day, DAY_EDGES), 0)[:, None]]
    return (np.concatenate(columns, axis=1) + coding.offsets).astype(np.int32)


def gap_bounds(coding: Coding, state: State, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Legal waiting times [n] for legal days [lower, upper] of the next event; see `day_of`."""
    if coding.grammar.anchor is not None:
        first = state.walk.used == 0
        return np.where(first, -upper, lower - state.walk.day), np.where(first, -lower, upper - state.walk.day)
    return lower - state.walk.day, upper - state.walk.day


def gap_of(coding: Coding, state: State, day: np.ndarray) -> np.ndarray:
    """Waiting time [n] until `day`. Before the first event of an anchored log it counts back from the anchor at day 0."""
    if coding.grammar.anchor is not None:
        return np.where(state.walk.used == 0, -day, day - state.walk.day)
    return day - state.walk.day


def day_of(coding: Coding, state: State, gap: np.ndarray) -> np.ndarray:
    """The inverse of `gap_of`."""
    if coding.grammar.anchor is not None:
        return np.where(state.walk.used == 0, -gap, state.walk.day + gap)
    return state.walk.day + gap
