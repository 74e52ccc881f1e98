"""The last guard before the models: patients and events hold declared, legal values only. Who does
not is dropped whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.schema import legality, static_rules
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Column, Schema


def faults(schema: Schema, log: PatientLog) -> pl.DataFrame:
    """patient_id and reason for each patient whose static columns, rules or pathway break
    the declaration.
    """
    breaches = [
        log.patients.filter(is_bad).select(ID, pl.lit(f"model form: {reason}").alias("reason"))
        for reason, is_bad in _static_rules(schema)
    ]
    if schema.events is not None and log.events is not None:
        # the grammar reads declared statics only
        sound = log.without(pl.concat([frame.select(ID) for frame in breaches]))
        illegal = violations(Grammar(schema), sound.patients, sound.pathways)
        breaches.append(illegal.select(ID, ("pathway: " + pl.col("rule")).alias("reason")).unique())
    return pl.concat(breaches).unique()


def _static_rules(schema: Schema) -> Iterator[tuple[str, pl.Expr]]:
    for column in schema.patients.values():
        yield column.name, _bad_value(column)
    yield from static_rules.breaches(schema)


def _bad_value(column: Column) -> pl.Expr:
    """Whether a value is outside the declaration, or missing where it must not be."""
    value = pl.col(column.name)
    outside = legality.outside(column, value)
    return outside if column.nullable else outside | value.is_null()
