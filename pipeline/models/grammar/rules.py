"""The declared legality of a pathway, compiled once into small arrays.

A token is (type, code). The declaration may ask for things that cannot all hold (a deadline whose
event can never be legal); `Grammar` refuses those when it is made, so that a pathway that follows
`options` (tracker.py) never gets stuck. A demand that `legal_codes` or `exclusions` make impossible
for one patient (his or her terminal, anchor, deadline or opening) does not bind that patient.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import polars as pl

from pipeline.refusal import Refusal
from pipeline.schema.event_days import day_bounds
from pipeline.schema.values import EventLog, Schema

BoolArray = np.ndarray  # of bool


@dataclass(frozen=True)
class Grammar:
    """Vocabulary and rules of `schema.events`. Types are numbered as declared, which is also their
    order within a day.
    """

    schema: Schema
    log: EventLog = field(init=False)
    type_names: tuple[str, ...] = field(init=False)
    tokens: tuple[tuple[str, str | None], ...] = field(init=False)  # V pairs (type, code)
    token_type: np.ndarray = field(init=False)  # [V] number of each token's type
    terminal: BoolArray = field(init=False)  # [T]
    at_most: np.ndarray = field(init=False)  # [T]
    openers: tuple[int, ...] = field(init=False)  # types that something happens inside of
    needs_open: np.ndarray = field(init=False)  # [T, O] the contexts that must be open
    closes: np.ndarray = field(init=False)  # [T, O]
    triggers: BoolArray = field(init=False)  # [D, T] types that start deadline d
    due_type: tuple[int, ...] = field(init=False)  # [D]
    due_days: tuple[int, ...] = field(init=False)  # [D]
    window_type: tuple[int, ...] = field(init=False)  # [W] what must not come too late
    window_since: BoolArray = field(init=False)  # [W, T] types that open window w anew
    window_days: tuple[int, ...] = field(init=False)  # [W]
    # [T, T] t brings e about, through however many deadlines
    reach: BoolArray = field(init=False)
    # [T] days that must remain after t for what it brings about
    slack: np.ndarray = field(init=False)
    # [T] first day of t while the anchor is still to come
    earliest: np.ndarray = field(init=False)
    anchor: int | None = field(init=False)
    once: BoolArray = field(init=False)  # [V] a patient has this token at most once
    # the one that stands at the last day of observation
    last_token: int | None = field(init=False)
    opens: BoolArray = field(init=False)  # [T] may stand first
    # [T] days that the tables can say of a type; those of the log where nothing else is declared
    first_day: np.ndarray = field(init=False)
    last_day: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        if self.schema.events is None:
            raise Refusal(f"{self.schema.dataset} declares no events: it has no grammar")
        log, names = self.schema.events, tuple(self.schema.events.types)
        number = {name: t for t, name in enumerate(names)}
        tokens = tuple(
            (kind.name, code) for kind in log.types.values() for code in kind.codes or (None,)
        )
        contexts = {
            number[name]
            for kind in log.types.values()
            for name in (kind.inside, kind.closes)
            if name
        }
        openers = tuple(sorted(contexts))
        opener_names = [names[o] for o in openers]
        closes = _matches([kind.closes for kind in log.types.values()], opener_names)
        inside = _matches([kind.inside for kind in log.types.values()], opener_names)
        caps = [
            1 if kind.name == log.anchor or kind.terminal else kind.at_most
            for kind in log.types.values()
        ]
        may_open = np.array([not log.first or name in log.first for name in names])
        put = partial(object.__setattr__, self)  # the way a frozen dataclass fills itself
        put("log", log)
        put("type_names", names)
        put("tokens", tokens)
        put("token_type", np.array([number[name] for name, _ in tokens]))
        put("terminal", np.array([kind.terminal for kind in log.types.values()]))
        put("at_most", np.array([log.max_events if cap is None else cap for cap in caps]))
        put("openers", openers)
        put("needs_open", inside | closes)
        put("closes", closes)
        put("anchor", number[log.anchor] if log.anchor else None)
        put("once", np.array([log.types[name].distinct_codes for name, _ in tokens]))
        end = log.observation_end
        put("last_token", tokens.index(end) if end is not None else None)
        put("opens", may_open & ~self.needs_open.any(1))
        bounds = day_bounds(self.schema, log)
        put("first_day", np.array([bounds[name][0] for name in names], np.int32))
        put("last_day", np.array([bounds[name][1] for name in names], np.int32))
        self._put_deadlines()
        self._put_windows()
        _check(self)

    def _put_deadlines(self) -> None:
        names, deadlines = self.type_names, self.log.deadlines
        put = partial(object.__setattr__, self)
        triggers = [[name in deadline.after for name in names] for deadline in deadlines]
        put("triggers", np.array(triggers, bool).reshape(len(deadlines), len(names)))
        put("due_type", tuple(names.index(deadline.event) for deadline in deadlines))
        put("due_days", tuple(deadline.days for deadline in deadlines))
        put("reach", _reach(self))
        put("slack", np.array([_slack(self, t, ()) for t in range(len(names))]))
        put("earliest", np.array([_earliest(self, t, ()) for t in range(len(names))]))

    def _put_windows(self) -> None:
        names, windows = self.type_names, self.log.windows
        put = partial(object.__setattr__, self)
        since = [[name in window.since for name in names] for window in windows]
        put("window_type", tuple(names.index(window.event) for window in windows))
        put("window_since", np.array(since, bool).reshape(len(windows), len(names)))
        put("window_days", tuple(window.days for window in windows))

    @property
    def n_types(self) -> int:
        return len(self.type_names)

    @property
    def n_tokens(self) -> int:
        return len(self.tokens)

    def token_numbers(self, events: pl.DataFrame) -> np.ndarray:
        """Number of each event's token, [rows]; -1 where (type, code) is not declared."""
        lookup = {f"{name}\x1f{code or ''}": v for v, (name, code) in enumerate(self.tokens)}
        joined = events.select(
            pl.concat_str([pl.col("type"), pl.col("code").fill_null("")], separator="\x1f").alias(
                "token"
            )
        )["token"]
        return joined.replace_strict(lookup, default=-1, return_dtype=pl.Int32).to_numpy()


def _reach(grammar: Grammar) -> BoolArray:
    direct = np.zeros((grammar.n_types, grammar.n_types), bool)
    for deadline, event in enumerate(grammar.due_type):
        direct[grammar.triggers[deadline], event] = True
    np.fill_diagonal(direct, False)  # an event that is due after itself has already happened
    reach = direct
    for _ in range(grammar.n_types):
        reach = reach | (reach.astype(int) @ direct.astype(int) > 0)
    return reach


def _slack(grammar: Grammar, t: int, chain: tuple[int, ...]) -> int:
    """A type that stands earlier within a day needs a later day: one per step back along the chain
    of deadlines.
    """
    following = [
        e
        for d, e in enumerate(grammar.due_type)
        if grammar.triggers[d, t] and e != t and e not in chain
    ]
    return max((int(e < t) + _slack(grammar, e, (*chain, t)) for e in following), default=0)


def _earliest(grammar: Grammar, t: int, chain: tuple[int, ...]) -> int:
    """The anchor stands at day 0, so that what makes it due within k days cannot stand before -k;
    nor what makes an end due, which is after it.
    """
    days = [grammar.log.lower_day]
    for d, e in enumerate(grammar.due_type):
        if grammar.triggers[d, t] and e != t and e not in chain:
            if e == grammar.anchor:
                first = 0
            elif grammar.anchor is not None and grammar.terminal[e]:
                first = int(grammar.slack[grammar.anchor])
            else:
                first = _earliest(grammar, e, (*chain, t))
            days.append(first - grammar.due_days[d])
    return max(days)


def _check(grammar: Grammar) -> None:
    problems = [*_type_problems(grammar), *_deadline_problems(grammar), *_size_problems(grammar)]
    if problems:
        raise Refusal(f"events of {grammar.schema.dataset}: " + "; ".join(problems))


def _type_problems(grammar: Grammar) -> list[str]:
    log, names = grammar.log, grammar.type_names
    problems = []
    if not grammar.terminal.any():
        problems.append("no type is terminal; a pathway could not end")
    elif not grammar.terminal[int(np.argmax(grammar.terminal)) :].all():
        problems.append(
            "terminal types must be declared last: within a day, events stand in the order of the"
            " declaration"
        )
    bound = {
        "terminal": np.flatnonzero(grammar.terminal),
        "a deadline's event": np.array(grammar.due_type, int),
        "the anchor": np.array([grammar.anchor] if grammar.anchor is not None else [], int),
    }
    problems += [
        f"{names[t]} is {what} and needs an open"
        f" {names[grammar.openers[int(np.argmax(grammar.needs_open[t]))]]}; it could get stuck"
        for what, numbers in bound.items()
        for t in set(numbers.tolist())
        if grammar.needs_open[t].any()
    ]
    fixed = {t for what in bound.values() for t in what.tolist()}
    problems += [
        f"{names[t]} has distinct codes or a last date, and must be reachable whatever happened"
        " before"
        for t in sorted(fixed)
        if log.types[names[t]].distinct_codes or log.types[names[t]].until is not None
    ]
    problems += [
        f"{names[t]} has a window: it may come too late, and must be reachable whatever happened"
        " before"
        for t in sorted(fixed & set(grammar.window_type))
    ]
    problems += [
        f"{names[t]} has a window, and others happen inside of it: give those the window"
        for t in sorted(set(grammar.window_type) & set(grammar.openers))
    ]
    if len({t for t in grammar.due_type if grammar.terminal[t]}) > 1:
        problems.append("deadlines name two different terminal types; a patient could need both")
    return problems


def _deadline_problems(grammar: Grammar) -> list[str]:
    names = grammar.type_names
    problems = [
        f"{names[grammar.due_type[d]]} is due {grammar.due_days[d]} days after {names[t]} but"
        " stands before it within a day"
        for d in range(len(grammar.due_type))
        for t in np.flatnonzero(grammar.triggers[d])
        if grammar.due_days[d] < int(grammar.due_type[d] < t) or grammar.due_days[d] < 0
    ]
    problems += [
        f"{names[t]} makes itself due through other deadlines"
        for t in np.flatnonzero(np.diag(grammar.reach))
    ]
    problems += [
        f"{names[t]} is terminal and starts a deadline"
        for t in np.flatnonzero(grammar.triggers.any(0) & grammar.terminal)
    ]
    return problems


def _size_problems(grammar: Grammar) -> list[str]:
    log, names, problems = grammar.log, grammar.type_names, []
    last_start = log.upper_day - int(
        grammar.slack[slice(None) if grammar.anchor is None else grammar.anchor].max()
    )
    if last_start < log.lower_day or (
        grammar.anchor is not None and not log.lower_day <= 0 <= last_start
    ):
        problems.append(f"days {log.lower_day} to {log.upper_day} hold no place for the pathway")
    if grammar.anchor is not None and grammar.terminal[grammar.anchor]:
        problems.append(f"the anchor {names[grammar.anchor]} is terminal")
    if not grammar.opens.any():
        problems.append("no type may open a pathway")
    root = np.eye(grammar.n_types, dtype=bool) | grammar.reach
    if grammar.anchor is not None:
        root = root | root[grammar.anchor]
    longest = int((root[:, ~grammar.terminal]).sum(1)[grammar.opens].max(initial=0)) + 1
    if longest > log.max_events:
        problems.append(
            f"max_events {log.max_events} is too small: an opening with all that it makes due takes"
            f" {longest}"
        )
    return problems


def _matches(contexts: list[str | None], openers: list[str]) -> np.ndarray:
    """Which opener is each type's context, bool [types, openers]."""
    matches = [[context == opener for opener in openers] for context in contexts]
    return np.array(matches, bool).reshape(len(contexts), len(openers))
