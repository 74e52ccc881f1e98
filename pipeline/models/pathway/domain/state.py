"""What the network sees of a pathway before its next event: one code for training and for sampling.

A state is the grammar's walk plus a short memory. `features` writes each part of it as one number
of its own range, so that a single embedding table holds them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date

import numpy as np
import polars as pl

from pipeline.models.grammar import Grammar, Walk, start, step
from pipeline.models.pathway.domain.encode import Codec, Gaps

COUNT_EDGES = np.array([0, 1, 2, 3, 5, 9])  # 0, 1, 2, 3-4, 5-8, 9 and more
NTH_EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 19, 22, 25, 31])
SEQ_EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30, 40, 60, 90])
DAY_EDGES = np.array(
    [
        -60,
        -30,
        -14,
        0,
        1,
        8,
        15,
        29,
        43,
        61,
        91,
        121,
        181,
        271,
        366,
        548,
        731,
        1096,
        1461,
        1826,
        2556,
        3651,
    ]
)
HALVING = 2  # events after which another one weighs 1 / sqrt(2)
# days to the end of observation
REMAINING_EDGES = np.array([0, 1, 31, 61, 91, 183, 274, 366, 548, 731, 1096, 1461, 1827, 2191])


@dataclass(frozen=True)
class Rhythm:
    """A counted table of waiting times between events of type `kind` in a row, by the code of the
    context `opener` (see rhythm.py).

    It holds once `repeats` events of any type stand in the context; its rows in the network begin
    at `first_row`, one per code.
    """

    parts: tuple[str, ...]  # of the table
    kind: int
    opener: int
    repeats: int
    first_row: int
    rows: int


@dataclass(frozen=True)
class Coding:
    """The public vocabulary of one dataset: tokens, waiting times, attributes and static columns as
    numbers.
    """

    grammar: Grammar
    gaps: Gaps
    attributes: tuple[Codec, ...]
    statics: tuple[Codec, ...]
    rich: bool  # past attributes and contexts that never close are features too
    observed_until: date | None = None  # public last day of observation
    # types and attributes whose codes or values come from counted heads, not from the network
    counted: frozenset[str] = frozenset()
    rhythms: tuple[Rhythm, ...] = ()
    # size of each feature by name, in the order of `features`
    layout: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", _layout(self))

    @property
    def contexts(self) -> tuple[int, ...]:
        """Positions among the grammar's openers whose code and age are features."""
        return tuple(
            o
            for o in range(len(self.grammar.openers))
            if self.rich or self.grammar.closes[:, o].any()
        )

    @property
    def ranges(self) -> tuple[int, ...]:
        """Size of each feature, in the order of `features`."""
        return tuple(self.layout.values())

    @property
    def offsets(self) -> np.ndarray:
        return np.cumsum([0, *self.ranges[:-1]]).astype(np.int32)

    def static_codes(self, patients: pl.DataFrame) -> np.ndarray:
        """Rows of the static embedding table, int64 [n, columns]."""
        offsets = np.cumsum([0, *(c.size for c in self.statics)])
        columns = [
            c.encode(patients[c.column.name]).astype(np.int64) + offsets[i]
            for i, c in enumerate(self.statics)
        ]
        return np.stack(columns, axis=1) if columns else np.zeros((patients.height, 0), np.int64)

    @property
    def learned_tokens(self) -> np.ndarray:
        """Tokens that the network chooses between, ascending: of types with several codes and no
        counted head.
        """
        g = self.grammar
        several = np.bincount(g.token_type, minlength=g.n_types) > 1
        learned = several & np.array([name not in self.counted for name in g.type_names])
        return np.flatnonzero(learned[g.token_type])

    @property
    def learned_attributes(self) -> tuple[int, ...]:
        return tuple(a for a, c in enumerate(self.attributes) if c.column.name not in self.counted)

    @property
    def n_rhythm_rows(self) -> int:
        """Rows of waiting times that the network is given, with row 0 for none."""
        return 1 + sum(one.rows for one in self.rhythms)

    def carries(self) -> np.ndarray:
        """[T, A] bool: which attributes each event type has."""
        return np.array(
            [
                [c.column.name in kind.attributes for c in self.attributes]
                for kind in self.grammar.log.types.values()
            ],
            bool,
        ).reshape(self.grammar.n_types, len(self.attributes))


def _layout(coding: Coding) -> dict[str, int]:
    g = coding.grammar
    names = {o: g.type_names[g.openers[o]] for o in coding.contexts}
    sizes = {
        "last": g.n_tokens + 1,
        "before": g.n_types + 1,
        "before_that": g.n_types + 1,
        "gap": len(coding.gaps.edges) + 1,
    }
    sizes |= (
        {f"value:{c.column.name}": c.size + 1 for c in coding.attributes} if coding.rich else {}
    )
    sizes |= {
        f"open:{name}": 2 + int((g.token_type == g.openers[o]).sum()) for o, name in names.items()
    }
    sizes |= {f"since:{name}": len(COUNT_EDGES) for name in names.values()}
    sizes |= {f"count:{name}": len(COUNT_EDGES) for name in g.type_names}
    sizes |= {"nth": len(NTH_EDGES), "events": len(SEQ_EDGES), "day": len(DAY_EDGES) + 1}
    return sizes | (
        {"remaining": len(REMAINING_EDGES)} if coding.observed_until is not None else {}
    )


@dataclass
class State:
    """n pathways after the events so far."""

    walk: Walk
    token: np.ndarray  # [n] last token, V before the first
    before: np.ndarray  # [n, 2] types of the two events before it, T for none
    gap: np.ndarray  # [n] bin of the last waiting time, G for none
    attribute: np.ndarray  # [n, A] last value of each attribute, its codec's size for none yet
    context: np.ndarray  # [n, O] 1 + which code the latest opener had, 0 when closed
    since: np.ndarray  # [n, O] events since it was opened
    code: np.ndarray  # [n, T] 1 + number of the type's last code, 0 before its first

    def take(self, index: np.ndarray | slice) -> State:
        return State(
            self.walk.take(index), *(getattr(self, f.name)[index] for f in fields(self)[1:])
        )


def begin(coding: Coding, patients: pl.DataFrame) -> State:
    """The state before the first event."""
    n, g = patients.height, coding.grammar
    none = np.array([c.size for c in coding.attributes], np.int16)
    return State(
        walk=start(g, patients, coding.observed_until),
        token=np.full(n, g.n_tokens, np.int16),
        before=np.full((n, 2), g.n_types, np.int16),
        gap=np.full(n, len(coding.gaps.edges), np.int16),
        attribute=np.tile(none, (n, 1)),
        context=np.zeros((n, len(g.openers)), np.int16),
        since=np.zeros((n, len(g.openers)), np.int16),
        code=np.zeros((n, g.n_types), np.int16),
    )


def advance(
    coding: Coding,
    state: State,
    token: np.ndarray,
    day: np.ndarray,
    gap: np.ndarray,
    attribute: np.ndarray,
) -> None:
    """Moves on by one event, in place. token, day, gap [n]; attribute [n, A] codes, -1 where the
    event has none.
    """
    g = coding.grammar
    kind = g.token_type[token]
    state.before[:, 1] = state.before[:, 0]
    state.before[:, 0] = _last_type(g, state)
    state.token[:] = token
    state.gap[:] = gap
    state.attribute[:] = np.where(attribute >= 0, attribute, state.attribute)
    step(g, state.walk, token, day)
    state.code[np.arange(len(kind)), kind] = 1 + token - np.searchsorted(g.token_type, kind)
    state.since += 1
    for o, opener in enumerate(g.openers):
        opened = kind == opener
        state.context[opened, o] = 1 + token[opened] - int(np.argmax(g.token_type == opener))
        state.since[opened, o] = 0
        state.context[~state.walk.open[:, o], o] = 0


def _last_type(grammar: Grammar, state: State) -> np.ndarray:
    return np.append(grammar.token_type, grammar.n_types)[state.token]


def _nth(grammar: Grammar, state: State) -> np.ndarray:
    """[n] how many events of the last one's type there were, 0 before the first."""
    counts = np.append(
        state.walk.counts, np.zeros((len(state.token), 1), state.walk.counts.dtype), axis=1
    )
    return counts[np.arange(len(counts)), _last_type(grammar, state)]


def features(coding: Coding, state: State) -> np.ndarray:
    """Rows of the event embedding table, int32 [n, features], in the order of `coding.layout`."""

    def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
        return np.searchsorted(edges, values, side="right")

    walk, contexts = state.walk, list(coding.contexts)
    since = np.where(state.context > 0, binned(state.since, COUNT_EDGES) - 1, 0)
    columns = [
        state.token[:, None],
        state.before,
        state.gap[:, None],
        state.attribute if coding.rich else state.attribute[:, :0],
        state.context[:, contexts],
        since[:, contexts],
        binned(walk.counts, COUNT_EDGES) - 1,
        binned(_nth(coding.grammar, state), NTH_EDGES)[:, None] - 1,
        binned(walk.used, SEQ_EDGES)[:, None] - 1,
        np.where(walk.used > 0, binned(walk.day, DAY_EDGES), 0)[:, None],
    ]
    if coding.observed_until is not None:
        columns.append(
            binned((walk.last_day.max(1) - walk.day).clip(0), REMAINING_EDGES)[:, None] - 1
        )
    return (np.concatenate(columns, axis=1) + coding.offsets).astype(np.int32)


def weight(coding: Coding, state: State) -> np.ndarray:
    """What the next event counts in training, float32 [n]: less the more there were before it, and
    less where it repeats.

    Long pathways would otherwise have much longer gradients than short ones, and clipping would
    teach short pathways. The weight follows from what was before the event alone, so that the
    likelihood stays one of the conditional chances: no chance is bent (Cox 1975, partial
    likelihood).
    """
    width = np.append(np.diff(NTH_EDGES), 30)[
        np.searchsorted(NTH_EDGES, _nth(coding.grammar, state), side="right") - 1
    ]
    return (1 / np.sqrt(1 + state.walk.used / HALVING) / width).astype(np.float32)


def gap_bounds(
    coding: Coding, state: State, token: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Legal waiting times [n] for legal days [lower, upper] of the next event; see `day_of`. The
    end of observation stands on its last day.
    """
    g = coding.grammar
    if coding.observed_until is not None and g.last_token is not None:
        lower = np.where(token == g.last_token, upper, lower)
    if g.anchor is not None:
        first = state.walk.used == 0
        return np.where(first, -upper, lower - state.walk.day), np.where(
            first, -lower, upper - state.walk.day
        )
    return lower - state.walk.day, upper - state.walk.day


def gap_of(coding: Coding, state: State, day: np.ndarray) -> np.ndarray:
    """Waiting time [n] until `day`. Before the first event of an anchored log it counts back from
    the anchor at day 0.
    """
    if coding.grammar.anchor is not None:
        return np.where(state.walk.used == 0, -day, day - state.walk.day)
    return day - state.walk.day


def day_of(coding: Coding, state: State, gap: np.ndarray) -> np.ndarray:
    """The inverse of `gap_of`."""
    if coding.grammar.anchor is not None:
        return np.where(state.walk.used == 0, -gap, state.walk.day + gap)
    return state.walk.day + gap
