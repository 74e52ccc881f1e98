"""What the network sees of a pathway before its next event: one code for training and for sampling.

A state is the grammar's state tracker plus a short memory. `features` writes each part of it as one
number of its own range, so that a single embedding table holds them all.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import polars as pl

from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.tracker import Tracker, start, step
from pipeline.models.pathway.domain.coding import (
    COUNT_EDGES,
    DAY_EDGES,
    NTH_EDGES,
    REMAINING_EDGES,
    SEQ_EDGES,
    Coding,
)

FAR = 1 << 14  # days until the end of observation where it does not matter
HALVING = 2  # events after which another one weighs 1 / sqrt(2)


@dataclass
class State:
    """n pathways after the events so far."""

    tracker: Tracker
    token: np.ndarray  # [n] last token, V before the first
    before: np.ndarray  # [n, 2] types of the two events before it, T for none
    gap: np.ndarray  # [n] bin of the last waiting time, G for none
    attribute: np.ndarray  # [n, A] last value of each attribute, its codec's size for none yet
    context: np.ndarray  # [n, O] 1 + which code the latest opener had, 0 when closed
    since: np.ndarray  # [n, O] events since it was opened
    # [n, steps] last known value of each attribute with a largest step, in its context; 0: none
    level: np.ndarray
    code: np.ndarray  # [n, T] 1 + number of the type's last code, 0 before its first
    last_value: np.ndarray  # [n, A] last known value of each attribute, 0 for none
    # [n, R] day of the last event of each type that returns, or else of the first event
    latest: np.ndarray

    def take(self, index: np.ndarray | slice) -> State:
        """The pathways of these positions."""
        return State(
            self.tracker.take(index), *(getattr(self, f.name)[index] for f in fields(self)[1:])
        )


def begin(coding: Coding, patients: pl.DataFrame) -> State:
    """The state before the first event."""
    n, g = patients.height, coding.grammar
    none = np.array([c.size for c in coding.attributes], np.int16)
    return State(
        tracker=start(g, patients, coding.observed_until),
        token=np.full(n, g.n_tokens, np.int16),
        before=np.full((n, 2), g.n_types, np.int16),
        gap=np.full(n, len(coding.gaps.edges), np.int16),
        attribute=np.tile(none, (n, 1)),
        context=np.zeros((n, len(g.openers)), np.int16),
        since=np.zeros((n, len(g.openers)), np.int16),
        level=np.zeros((n, len(coding.steps)), np.int16),
        code=np.zeros((n, g.n_types), np.int16),
        last_value=np.zeros((n, len(coding.attributes)), np.int16),
        latest=np.zeros((n, len(coding.returns)), np.int32),
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
    state.last_value[:] = np.where(attribute > 0, attribute, state.last_value)
    state.level[:] = levels(coding, state, kind)
    for number, steps in enumerate(coding.steps):
        value = attribute[:, steps.place]
        state.level[:, number] = np.where(value > 0, value, state.level[:, number])
    step(g, state.tracker, token, day)
    state.code[np.arange(len(kind)), kind] = 1 + token - np.searchsorted(g.token_type, kind)
    for number, t in enumerate(coding.returns):
        starts = (kind == t) | (state.tracker.used == 1)
        state.latest[starts, number] = day[starts]
    state.since += 1
    for o, opener in enumerate(g.openers):
        opened = kind == opener
        state.context[opened, o] = 1 + token[opened] - int(np.argmax(g.token_type == opener))
        state.since[opened, o] = 0
        state.context[~state.tracker.open[:, o], o] = 0


def levels(coding: Coding, state: State, kind: np.ndarray) -> np.ndarray:
    """[n, steps] the last known values that the next events' own follow; kind [n]: their types."""
    level = state.level.copy()
    for number, steps in enumerate(coding.steps):
        level[steps.opens[kind], number] = 0
    return level


def _last_type(grammar: Grammar, state: State) -> np.ndarray:
    return np.append(grammar.token_type, grammar.n_types)[state.token]


def _nth(grammar: Grammar, state: State) -> np.ndarray:
    """[n] how many events of the last one's type there were, 0 before the first."""
    counts = np.append(
        state.tracker.counts, np.zeros((len(state.token), 1), state.tracker.counts.dtype), axis=1
    )
    return counts[np.arange(len(counts)), _last_type(grammar, state)]


def features(coding: Coding, state: State) -> np.ndarray:
    """Rows of the event embedding table, int32 [n, features], in the order of `coding.layout`."""

    def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
        return np.searchsorted(edges, values, side="right")

    tracker, contexts = state.tracker, list(coding.contexts)
    since = np.where(state.context > 0, binned(state.since, COUNT_EDGES) - 1, 0)
    columns = [
        state.token[:, None],
        state.before,
        state.gap[:, None],
        state.attribute if coding.rich else state.attribute[:, :0],
        state.context[:, contexts],
        since[:, contexts],
        binned(tracker.counts, COUNT_EDGES) - 1,
        binned(_nth(coding.grammar, state), NTH_EDGES)[:, None] - 1,
        binned(tracker.used, SEQ_EDGES)[:, None] - 1,
        np.where(tracker.used > 0, binned(tracker.day, DAY_EDGES), 0)[:, None],
    ]
    if coding.observed_until is not None:
        columns.append(
            binned((tracker.last_day.max(1) - tracker.day).clip(0), REMAINING_EDGES)[:, None] - 1
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
    return (1 / np.sqrt(1 + state.tracker.used / HALVING) / width).astype(np.float32)


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
        first = state.tracker.used == 0
        return np.where(first, -upper, lower - state.tracker.day), np.where(
            first, -lower, upper - state.tracker.day
        )
    return lower - state.tracker.day, upper - state.tracker.day


def gap_of(coding: Coding, state: State, day: np.ndarray) -> np.ndarray:
    """Waiting time [n] until `day`. Before the first event of an anchored log it counts back from
    the anchor at day 0.
    """
    if coding.grammar.anchor is not None:
        return np.where(state.tracker.used == 0, -day, day - state.tracker.day)
    return day - state.tracker.day


def day_of(coding: Coding, state: State, gap: np.ndarray) -> np.ndarray:
    """The inverse of `gap_of`."""
    if coding.grammar.anchor is not None:
        return np.where(state.tracker.used == 0, -gap, state.tracker.day + gap)
    return state.tracker.day + gap


def days_left(coding: Coding, state: State) -> np.ndarray:
    """Days until the end of observation, int32 [n]; FAR before the first event, and where the end
    is not known.
    """
    tracker = state.tracker
    if coding.observed_until is None or coding.grammar.last_token is None:
        return np.full(len(tracker.day), FAR, np.int32)
    left = (tracker.last_day.max(1) - tracker.day).clip(0, FAR)
    return np.where(tracker.used > 0, left, FAR).astype(np.int32)


def days_since(coding: Coding, state: State) -> np.ndarray:
    """Days since the last event of each type that returns, int32 [n, R]; -1 before the first
    event.
    """
    days = state.tracker.day[:, None] - state.latest
    return np.where(state.tracker.used[:, None] > 0, days, -1).astype(np.int32)


def rhythms_ahead(coding: Coding, state: State) -> np.ndarray:
    """`rhythm_rows` if the next event were of each type that has a rhythm, int64 [n, types]."""
    kinds = coding.rhythm_kinds
    first = np.searchsorted(coding.grammar.token_type, kinds)
    n = len(state.token)
    rows = [rhythm_rows(coding, state, np.full(n, token)) for token in first]
    return np.stack(rows, axis=1) if rows else np.zeros((n, 0), np.int64)


def rhythm_rows(coding: Coding, state: State, token: np.ndarray) -> np.ndarray:
    """Which row of the network's rhythms the wait for the next event has, int64 [n]; 0: none. token
    [n]: that event.
    """
    g, rows = coding.grammar, np.zeros(len(token), np.int64)
    types = g.token_type[token]
    for rhythm in coding.rhythms:
        code = state.context[:, rhythm.opener].astype(np.int64)
        holds = (
            (types == rhythm.kind)
            & (state.tracker.last_type == rhythm.kind)
            & (code > 0)
            & (state.since[:, rhythm.opener] >= rhythm.repeats)
        )
        rows[holds] = rhythm.first_row + code[holds] - 1
    if coding.pair_row is not None:
        other = np.flatnonzero((rows == 0) & (state.tracker.used > 0))
        rows[other] = coding.pair_row + types[other]
    return rows
