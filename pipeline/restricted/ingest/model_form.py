"""The last guard before the models: patients and events hold declared, legal values only. Who does
not is dropped whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Column, Schema


def faults(schema: Schema, patients: pl.DataFrame, events: pl.DataFrame | None) -> pl.DataFrame:
    """patient_id and reason for each patient whose static columns, implications or pathway break
    the declaration.
    """
    found = [
        patients.filter(bad).select(ID, pl.lit(f"model form: {reason}").alias("reason"))
        for reason, bad in _static_rules(schema)
    ]
    if schema.events is not None and events is not None:
        # the grammar reads declared statics only
        known = patients.join(pl.concat([frame.select(ID) for frame in found]), on=ID, how="anti")
        broken = violations(
            Grammar(schema),
            known,
            events.join(known.select(ID), on=ID, how="semi", maintain_order="left"),
        )
        found.append(broken.select(ID, ("pathway: " + pl.col("rule")).alias("reason")).unique())
    return pl.concat(found).unique()


def _static_rules(schema: Schema) -> Iterator[tuple[str, pl.Expr]]:
    for column in schema.patients.values():
        yield column.name, _bad_value(column)
    for implication in schema.implications:
        yield f"{implication.given} with {implication.then}", implication.breaches()


def _bad_value(column: Column) -> pl.Expr:
    """Whether a value is outside the declaration, or missing where it must not be."""
    value = pl.col(column.name)
    outside = column.outside(value)
    return outside if column.nullable else outside | value.is_null()
