"""The last guard before the models: patients and events hold declared, legal values only. Who does
not is dropped whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from pipeline.models.grammar import Grammar, violations
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Column, Implication, Schema


def faults(schema: Schema, log: PatientLog) -> pl.DataFrame:
    """patient_id and reason for each patient whose static columns, implications or pathway break
    the declaration.
    """
    breaches = [
        log.patients.filter(is_bad).select(ID, pl.lit(f"model form: {reason}").alias("reason"))
        for reason, is_bad in _static_rules(schema)
    ]
    if schema.events is not None and log.events is not None:
        # the grammar reads declared statics only
        known = log.without(pl.concat([frame.select(ID) for frame in breaches]))
        illegal = violations(Grammar(schema), known.patients, known.pathways)
        breaches.append(illegal.select(ID, ("pathway: " + pl.col("rule")).alias("reason")).unique())
    return pl.concat(breaches).unique()


def _static_rules(schema: Schema) -> Iterator[tuple[str, pl.Expr]]:
    for column in schema.patients.values():
        yield column.name, bad_value(column)
    for implication in schema.implications:
        yield f"{implication.given} with {implication.then}", _breaks(implication)


def bad_value(column: Column) -> pl.Expr:
    """Whether a value is outside the declaration."""
    value = pl.col(column.name)
    bad = pl.lit(False)
    if column.categories:
        bad = ~value.is_in(list(column.categories))
    elif column.kind in ("continuous", "date"):
        number = (
            value.cast(pl.Int32).cast(pl.Float64)
            if column.kind == "date"
            else value.cast(pl.Float64)
        )
        low = -float("inf") if column.lower is None else column.lower
        high = float("inf") if column.upper is None else column.upper
        bad = ~number.is_between(low, high)
    bad = bad.fill_null(False)
    return bad if column.nullable else bad | value.is_null()


def _breaks(implication: Implication) -> pl.Expr:
    given, then = pl.col(implication.given), pl.col(implication.then)
    bad = pl.lit(False)
    for value, allowed in implication.allowed.items():
        is_allowed = then.is_in([a for a in allowed if a is not None])
        is_allowed = is_allowed.fill_null(None in allowed)
        bad = bad | ((given == value).fill_null(False) & ~is_allowed)
    return bad
