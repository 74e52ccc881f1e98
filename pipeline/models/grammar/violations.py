"""Names every breach of the declared legality in a finished log. Written apart from the state
tracker, so that each can catch the other's fault.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from pipeline.models.grammar.legal_tokens import legal_sets
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.tracker import options, start
from pipeline.schema import legality
from pipeline.schema.groups import in_group
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Column


def violations(grammar: Grammar, patients: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """One row per breach: patient_id, seq (null where the pathway as a whole is meant), rule. Empty
    for a legal log.

    patients: patient_id and the static columns; events: an event log, in the order of its rows
    within a patient. A breach names the rule, never a value.
    """
    facts = _facts(grammar, patients, events)
    breaches = [
        facts.filter(condition).select(ID, "seq", pl.lit(rule).alias("rule"))
        for rule, condition in _row_rules(grammar)
    ]
    breaches += [
        frame.select(ID, pl.lit(None, pl.Int32).alias("seq"), pl.lit(rule).alias("rule"))
        for rule, frame in _patient_rules(grammar, patients, facts)
    ]
    return pl.concat(breaches).sort(ID, "seq", "rule")


def _facts(grammar: Grammar, patients: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """The log with, for each event, what the rules ask about."""
    numbers = {name: t for t, name in enumerate(grammar.type_names)}
    position = pl.int_range(pl.len()).over(ID)
    origin = grammar.log.origin
    origins = (
        patients.select(ID, _origin=pl.lit(None, pl.Date) if origin is None else pl.col(origin))
        .with_row_index("_patient")
        .with_columns(pl.col("_patient").cast(pl.Int64))
    )
    facts = events.with_columns(
        pl.col("seq").cast(pl.Int32),
        pl.col("day").cast(pl.Int32),
        pl.col("type").replace_strict(numbers, default=-1, return_dtype=pl.Int32).alias("_type"),
        pl.Series("_token", grammar.token_numbers(events), dtype=pl.Int32),
        position.alias("_position"),
    ).join(origins, on=ID, how="left", maintain_order="left")
    facts = facts.with_columns(
        pl.len().over(ID).alias("_length"),
        pl.col("_type").shift(1).over(ID).alias("_type_before"),
        pl.col("day").shift(1).over(ID).alias("_day_before"),
        pl.col("_type").is_in(np.flatnonzero(grammar.terminal).tolist()).alias("_terminal"),
        (pl.int_range(pl.len()).over(ID, "_type") + 1).alias("_nth"),
    )
    facts = facts.with_columns(
        pl.col("_terminal")
        .cast(pl.Int32)
        .cum_sum()
        .over(ID)
        .sub(pl.col("_terminal").cast(pl.Int32))
        .alias("_ends_before")
    )
    for opener in grammar.openers:
        closers = [
            t for t in range(grammar.n_types) if grammar.closes[t, grammar.openers.index(opener)]
        ]
        opened = (
            pl.when(pl.col("_type") == opener).then("_position").forward_fill().shift(1).over(ID)
        )
        closed = (
            pl.when(pl.col("_type").is_in(closers))
            .then("_position")
            .forward_fill()
            .shift(1)
            .over(ID)
        )
        facts = facts.with_columns(
            (opened.fill_null(-1) > closed.fill_null(-1)).alias(f"_open_{opener}")
        )
    return facts.with_columns(_legal_for_patient(grammar, patients, facts))


def _patient_tokens(grammar: Grammar, patients: pl.DataFrame) -> np.ndarray:
    """Tokens that each patient's static columns allow, [n, V]."""
    sets, index = legal_sets(grammar.log, grammar.tokens, patients)
    return sets[index]


def _legal_for_patient(
    grammar: Grammar, patients: pl.DataFrame, facts: pl.DataFrame
) -> list[pl.Series]:
    allowed = _patient_tokens(grammar, patients)
    token, patient = facts["_token"].to_numpy(), facts["_patient"].fill_null(-1).to_numpy()
    is_declared = (token >= 0) & (patient >= 0)
    legal = np.ones(len(token), bool)
    legal[is_declared] = allowed[patient[is_declared], token[is_declared]]
    # where no declared opening is legal, `first` does not bind
    opening = options(grammar, start(grammar, patients)).types
    kind = facts["_type"].to_numpy()
    may_open = np.ones(len(token), bool)
    may_open[is_declared] = opening[patient[is_declared], kind[is_declared]]
    return [pl.Series("_legal", legal), pl.Series("_may_open", may_open)]


def _row_rules(grammar: Grammar) -> Iterator[tuple[str, pl.Expr]]:
    log, kind = grammar.log, pl.col("_type")
    yield "unknown_patient", pl.col("_patient").is_null()
    yield "unknown_type", kind < 0
    yield "unknown_code", (kind >= 0) & (pl.col("_token") < 0)
    yield "legal_codes", ~pl.col("_legal")
    yield "seq", pl.col("seq") != pl.col("_position")
    yield (
        "day_bounds",
        pl.col("day").is_null() | ~pl.col("day").is_between(log.lower_day, log.upper_day),
    )
    yield (
        "order",
        (
            (pl.col("day") < pl.col("_day_before"))
            | ((pl.col("day") == pl.col("_day_before")) & (kind < pl.col("_type_before")))
        ).fill_null(False),
    )
    yield "first", (pl.col("_position") == 0) & ~pl.col("_may_open")
    yield "after_terminal", pl.col("_ends_before") > 0
    yield "terminal_missing", (pl.col("_position") == pl.col("_length") - 1) & ~pl.col("_terminal")
    yield "max_events", pl.col("_position") >= log.max_events
    for t, name in enumerate(grammar.type_names):
        yield from _type_rules(grammar, t, name)
    yield from _window_rules(grammar)
    for name, most in (log.largest_steps or {}).items():
        yield "largest_step", _is_leap(grammar, name, most)
    if grammar.anchor is not None:
        yield "anchor_day", (kind == grammar.anchor) & (pl.col("day") != 0)


def _type_rules(grammar: Grammar, t: int, name: str) -> Iterator[tuple[str, pl.Expr]]:
    log, kind = grammar.log, pl.col("_type")
    yield (
        "at_most",
        (kind == t) & ~pl.col("_terminal") & (pl.col("_nth") > int(grammar.at_most[t])),
    )
    bounds = (int(grammar.first_day[t]), int(grammar.last_day[t]))
    if bounds != (log.lower_day, log.upper_day):
        yield "day_of_type", (kind == t) & ~pl.col("day").is_between(*bounds)
    if log.types[name].distinct_codes:
        yield "distinct_codes", (kind == t) & (pl.int_range(pl.len()).over(ID, "_token") > 0)
    if (until := log.types[name].until) is not None:
        yield (
            "until",
            (kind == t) & (pl.col("_origin") + pl.duration(days="day") > until).fill_null(False),
        )
    for o, opener in enumerate(grammar.openers):
        if grammar.needs_open[t, o]:
            yield (
                "closes" if grammar.closes[t, o] else "inside",
                (kind == t) & ~pl.col(f"_open_{opener}"),
            )
    for attribute, column in log.attributes.items():
        has = attribute in log.types[name].attributes
        yield (
            "attribute",
            (kind == t) & (_bad_value(column) if has else pl.col(attribute).is_not_null()),
        )


def _window_rules(grammar: Grammar) -> Iterator[tuple[str, pl.Expr]]:
    kind = pl.col("_type")
    for w, event in enumerate(grammar.window_type):
        opens = kind.is_in(np.flatnonzero(grammar.window_since[w]).tolist())
        opened = pl.when(opens).then("day").forward_fill().shift(1).over(ID)
        is_late = pl.col("day") - opened > grammar.window_days[w]
        yield "window", (kind == event) & is_late.fill_null(False)


def _is_leap(grammar: Grammar, name: str, most: int) -> pl.Expr:
    """Whether the attribute's value is further from the last one in its context than declared."""
    types, column = grammar.log.types, grammar.log.attributes[name]
    contexts = {
        kind.inside
        for kind in types.values()
        if name in kind.attributes and kind.inside is not None
    }
    numbers = {value: place for place, value in enumerate(column.categories)}
    level = pl.col(name).replace_strict(numbers, default=None, return_dtype=pl.Int32)
    context = pl.col("type").is_in(sorted(contexts)).cum_sum().over(ID)
    before = level.forward_fill().shift(1).over(ID, context)
    return ((level - before).abs() > most).fill_null(False)


def _bad_value(column: Column) -> pl.Expr:
    value = pl.col(column.name)
    outside = legality.outside(column, value)
    return outside if column.nullable else outside | value.is_null()


def _patient_rules(
    grammar: Grammar, patients: pl.DataFrame, facts: pl.DataFrame
) -> Iterator[tuple[str, pl.DataFrame]]:
    yield "no_events", patients.join(facts.select(ID).unique(), on=ID, how="anti")
    allowed = _patient_tokens(grammar, patients)
    can = {
        t: patients.filter(pl.Series(allowed[:, grammar.token_type == t].any(1)))
        for t in {*grammar.due_type, grammar.anchor}
        if t is not None
    }
    if grammar.anchor is not None:
        having = facts.filter(pl.col("_type") == grammar.anchor).select(ID).unique()
        yield "anchor_missing", can[grammar.anchor].join(having, on=ID, how="anti")
    for d, event in enumerate(grammar.due_type):
        first = pl.col("_position").min()
        happened = (
            facts.filter(pl.col("_type") == event)
            .group_by(ID)
            .agg(first.alias("at"), pl.col("day").min().alias("day"))
        )
        started = (
            facts.filter(pl.col("_type").is_in(np.flatnonzero(grammar.triggers[d]).tolist()))
            .group_by(ID)
            .agg(first.alias("since"), (pl.col("day").min() + grammar.due_days[d]).alias("due"))
        )
        both = started.join(happened, on=ID, how="left").join(
            can[event].select(ID), on=ID, how="semi"
        )
        if (group := grammar.log.deadlines[d].group) is not None:
            both = both.join(patients.filter(in_group(group)).select(ID), on=ID, how="semi")
        yield (
            "deadline",
            both.filter(
                (pl.col("at").is_null() | (pl.col("at") > pl.col("since")))
                & (pl.col("day").is_null() | (pl.col("day") > pl.col("due")))
            ),
        )
