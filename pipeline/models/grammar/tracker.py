"""The state tracker: where many pathways stand at once, and what may come next. The same code masks
the training loss and the decoding.

Feasibility: a pending deadline (or anchor) is always still reachable, because an event is offered
    only for days on which everything pending can still follow it: with last day L and last type p,
    all pending types of number >= p fit on day L in their order, the others on L + 1. `max_events`
    keeps room for all that is pending and one terminal. A window only takes days from types that
    nothing waits for (rules.py refuses others).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date

import numpy as np
import polars as pl

from pipeline.models.grammar import legal_tokens
from pipeline.models.grammar.rules import Grammar

NEVER = 1 << 30


@dataclass
class Tracker:
    """State of n pathways. `due` holds the last legal day of each pending deadline, NEVER when none
    is pending; `close` the last day of each window, NEVER while it is not open.
    """

    # [u, V] bool, sets of tokens that static columns allow; shared by all pathways
    legal_sets: np.ndarray
    legal_set: np.ndarray  # [n] each pathway's set
    types_ok: np.ndarray  # [n, T] bool, at least one token legal
    last_type: np.ndarray  # [n] -1 before the first event
    day: np.ndarray  # [n]
    used: np.ndarray  # [n] events so far
    counts: np.ndarray  # [n, T]
    open: np.ndarray  # [n, O] bool
    due: np.ndarray  # [n, D]
    binds: np.ndarray  # [n, D] bool, deadlines of the patient's groups
    close: np.ndarray  # [n, W]
    has_ended: np.ndarray  # [n] bool
    last_day: np.ndarray  # [n, T] of observation, or of registration where the type has one
    used_up: np.ndarray  # [n, V] bool, tokens that may not come again

    def take(self, index: np.ndarray | slice) -> Tracker:
        """The pathways of these positions."""
        return Tracker(self.legal_sets, *(getattr(self, f.name)[index] for f in fields(self)[1:]))


@dataclass(frozen=True)
class Options:
    """Legal next types, [n, T] bool, and for each the first and last legal day, [n, T]."""

    types: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def start(grammar: Grammar, patients: pl.DataFrame, observed_until: date | None = None) -> Tracker:
    """The tracker before the first event, one pathway per row of `patients` (its static columns).
    Nothing stands after `observed_until`, the public last day of observation.
    """
    n = patients.height
    sets, index = legal_tokens.legal_sets(grammar.log, grammar.tokens, patients)
    types_ok = np.zeros((len(sets), grammar.n_types), bool)
    for v, t in enumerate(grammar.token_type):
        types_ok[:, t] |= sets[:, v]
    return Tracker(
        legal_sets=sets,
        legal_set=index,
        types_ok=types_ok[index],
        last_type=np.full(n, -1, np.int16),
        day=np.full(n, grammar.log.lower_day, np.int32),
        used=np.zeros(n, np.int32),
        counts=np.zeros((n, grammar.n_types), np.int16),
        open=np.zeros((n, len(grammar.openers)), bool),
        due=np.full((n, len(grammar.due_type)), NEVER, np.int32),
        binds=_binds(grammar, patients),
        close=np.full((n, len(grammar.window_type)), NEVER, np.int32),
        has_ended=np.zeros(n, bool),
        last_day=_last_day(grammar, patients, observed_until),
        used_up=np.zeros((n, grammar.n_tokens), bool),
    )


def options(grammar: Grammar, tracker: Tracker) -> Options:
    """What may come next. At least one type is legal wherever a legal pathway has not ended."""
    lower, upper = _days(grammar, tracker)
    legal = (
        _has_token(grammar, tracker)
        & (tracker.counts < grammar.at_most)
        & (lower <= upper)
        & _room(grammar, tracker)
        & ~tracker.has_ended[:, None]
    )
    for t, contexts in enumerate(grammar.needs_open):
        if contexts.any():
            legal[:, t] &= tracker.open[:, contexts].all(1)
    opening = legal & grammar.opens
    # no legal opening for this patient: `first` does not bind
    binds = (tracker.used == 0) & opening.any(1)
    return Options(types=np.where(binds[:, None], opening, legal), lower=lower, upper=upper)


def open_tokens(
    tracker: Tracker,
    rows: np.ndarray | slice = slice(None),
    tokens: np.ndarray | slice = slice(None),
) -> np.ndarray:
    """Tokens that the static columns allow and that were not used up, bool [rows, tokens]; all
    pathways [n] and tokens [V] by default.
    """
    legal = tracker.legal_sets[:, tokens][tracker.legal_set[rows]]
    return legal & ~tracker.used_up[rows][:, tokens]


def step(grammar: Grammar, tracker: Tracker, token: np.ndarray, day: np.ndarray) -> None:
    """Moves every pathway on by one event, in place. token, day [n]. Takes illegal events too: a
    source may hold some.
    """
    rows, kind = np.arange(len(token)), grammar.token_type[token]
    for d, event in enumerate(grammar.due_type):
        starts = (
            grammar.triggers[d][kind]
            & (tracker.counts[:, event] == 0)
            & tracker.types_ok[:, event]
            & tracker.binds[:, d]
            & (tracker.due[:, d] == NEVER)
        )
        tracker.due[:, d] = np.where(starts, day + grammar.due_days[d], tracker.due[:, d])
        tracker.due[kind == event, d] = NEVER
    for w, days in enumerate(grammar.window_days):
        since = grammar.window_since[w][kind]
        tracker.close[:, w] = np.where(since, day + days, tracker.close[:, w])
    tracker.counts[rows, kind] += 1
    if grammar.once.any():
        tracker.used_up[rows, token] |= grammar.once[token]
    tracker.open &= ~grammar.closes[kind]
    for o, opener in enumerate(grammar.openers):
        tracker.open[:, o] |= kind == opener
    tracker.last_type[:] = kind
    tracker.day[:] = day
    tracker.used += 1
    tracker.has_ended |= grammar.terminal[kind]


def anchor_pending(grammar: Grammar, tracker: Tracker) -> np.ndarray:
    """Whether each pathway's anchor is still to come, bool [n]."""
    if grammar.anchor is None:
        return np.zeros(len(tracker.day), bool)
    return (tracker.counts[:, grammar.anchor] == 0) & tracker.types_ok[:, grammar.anchor]


def _binds(grammar: Grammar, patients: pl.DataFrame) -> np.ndarray:
    """[n, D]: the deadline is of everybody, or of a group that the patient belongs to."""
    binds = [legal_tokens.in_group(rule.group, patients) for rule in grammar.log.deadlines]
    return np.array(binds, bool).reshape(len(binds), patients.height).T.copy()


def _has_token(grammar: Grammar, tracker: Tracker) -> np.ndarray:
    """[n, T]: a legal token is left."""
    has_token = tracker.types_ok.copy()
    for t in np.unique(grammar.token_type[grammar.once]):
        has_token[:, t] = open_tokens(tracker, tokens=grammar.token_type == t).any(1)
    return has_token


def _last_day(grammar: Grammar, patients: pl.DataFrame, observed_until: date | None) -> np.ndarray:
    """[n, T]. Somebody whose origin lies behind the end of observation, or too close to it, gets
    the room that a legal pathway needs.
    """
    log = grammar.log
    last = np.full((patients.height, grammar.n_types), log.upper_day, np.int32)
    if observed_until is not None and log.origin is not None:
        needed = (0 if grammar.anchor is not None else log.lower_day) + int(grammar.slack.max())
        needed = max(needed, int(grammar.first_day[grammar.terminal].max()))
        last = np.minimum(last, _days_until(grammar, patients, observed_until, needed)[:, None])
    for t, kind in enumerate(log.types.values()):
        if kind.until is not None:  # a type that is no longer registered has no day left
            last[:, t] = np.minimum(
                last[:, t], _days_until(grammar, patients, kind.until, log.lower_day - 1)
            )
    return last


def _days_until(grammar: Grammar, patients: pl.DataFrame, until: date, least: int) -> np.ndarray:
    """Days from each patient's origin to a date, within [least, upper_day], int32 [n]."""
    log = grammar.log
    assert log.origin is not None, "without an origin there is no date (event_checks.py)"
    days = patients.select(
        (pl.lit(until, pl.Date) - pl.col(log.origin)).dt.total_days().fill_null(log.upper_day)
    ).to_series()
    return days.to_numpy().clip(least, log.upper_day).astype(np.int32)


def _days(grammar: Grammar, tracker: Tracker) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.arange(grammar.n_types)
    # an earlier type of the day needs the next day
    later = (numbers < tracker.last_type[:, None]).astype(np.int32)
    lower = np.maximum(tracker.day[:, None] + later, grammar.first_day)
    upper = np.minimum(tracker.last_day - grammar.slack, grammar.last_day).astype(np.int32)
    for d, event in enumerate(grammar.due_type):
        last = np.minimum(
            tracker.due[:, d],
            np.where(
                tracker.due[:, d] < NEVER, tracker.last_day[:, event] - grammar.slack[event], NEVER
            ),
        )
        upper = np.minimum(upper, last[:, None] - (numbers > event))
    for w, event in enumerate(grammar.window_type):
        upper[:, event] = np.minimum(upper[:, event], tracker.close[:, w])
    if grammar.anchor is not None:
        pending = anchor_pending(grammar, tracker)[:, None]
        at_anchor = numbers == grammar.anchor
        lower = np.where(
            pending, np.maximum(lower, np.where(at_anchor, 0, grammar.earliest)), lower
        )
        upper = np.where(
            pending, np.minimum(upper, -(numbers > grammar.anchor).astype(np.int32)), upper
        )
        upper[:, grammar.anchor] = np.minimum(upper[:, grammar.anchor], 0)
    return lower.astype(np.int32), upper.astype(np.int32)


def _room(grammar: Grammar, tracker: Tracker) -> np.ndarray:
    """[n, T]: after this event, all that is due and a terminal still fit into max_events."""
    middle = ~grammar.terminal
    needed = np.zeros(tracker.counts.shape, bool)
    other_end = np.zeros(tracker.counts.shape, bool)  # a terminal other than the one that is due
    for d, event in enumerate(grammar.due_type):
        pending = tracker.due[:, d] < NEVER
        needed[:, event] |= pending
        if grammar.terminal[event]:
            other_end |= pending[:, None] & (np.arange(grammar.n_types) != event)
    if grammar.anchor is not None:
        needed[:, grammar.anchor] |= anchor_pending(grammar, tracker)
    reach = grammar.reach.astype(np.int32)
    possible = (tracker.counts == 0) & tracker.types_ok
    needed = (needed | (needed.astype(np.int32) @ reach > 0)) & possible & middle
    brought = (possible & middle & ~needed).astype(np.int32) @ reach.T
    after = needed.sum(1, keepdims=True) - needed + brought
    ends = (
        (needed.sum(1, keepdims=True) == 0)
        & ~other_end
        & (tracker.used[:, None] < grammar.log.max_events)
    )
    return np.where(
        grammar.terminal, ends, tracker.used[:, None] + 1 + after + 1 <= grammar.log.max_events
    )
