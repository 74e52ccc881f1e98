"""How a source row becomes an event: its day, its place in the source, and whether its code is
legal.
"""

from __future__ import annotations

import polars as pl

from pipeline.adapters.frames import pairs
from pipeline.adapters.simulacrum.names import BEFORE_DIAGNOSIS_DAYS, ORIGIN
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema


def placed(
    rows: pl.DataFrame,
    bounds: pl.DataFrame,
    when: str,
    kind: str,
    source: str,
    first_day: int | None = -BEFORE_DIAGNOSIS_DAYS,
) -> pl.DataFrame:
    """`rows` of the patients in `bounds` with day, type and source, where the day lies between
    `first_day` and the pathway's end.
    """
    days = (pl.col(when) - pl.col(ORIGIN)).dt.total_days()
    events = rows.join(bounds, on=ID, how="inner", maintain_order="left").with_columns(
        days.alias("day"), pl.lit(kind).alias("type"), pl.lit(source).alias("_source")
    )
    inside = (pl.col("day") >= first_day) if first_day is not None else pl.lit(True)
    return events.filter(
        pl.col("day").is_not_null() & inside & (pl.col("day") <= pl.col("_last_day"))
    )


def keep(rows: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The columns of an event, and `columns`."""
    return rows.select(ID, "day", "type", "_source", pl.col("_row").cast(pl.UInt32), *columns)


def legal(schema: Schema, rows: pl.DataFrame, patients: pl.DataFrame, kind: str) -> pl.DataFrame:
    """The rows whose `code` is one of the type's, and legal for the patient's static columns."""
    assert schema.events is not None
    rows = rows.filter(pl.col("code").is_in(schema.events.types[kind].codes))
    for rule in schema.events.legal_codes:
        if rule.type == kind:
            rows = rows.join(
                patients.select(ID, pl.col(rule.given).alias("_given")),
                on=ID,
                how="inner",
                maintain_order="left",
            )
            rows = rows.join(
                pairs(rule.allowed, "_given", "code"),
                on=["_given", "code"],
                how="semi",
                maintain_order="left",
            ).drop("_given")
    return rows
