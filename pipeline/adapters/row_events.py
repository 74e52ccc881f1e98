"""The dated rows of a table as events: each row is an event of the log, or is left out for a reason
that is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipeline.adapters.frames import (
    complete_events,
    ends_within_days,
    in_declared_order,
    losses,
    within_caps,
)
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID
from pipeline.schema.values import EventLog, EventSource, Schema

ROW = "_row"
_WHY, _LAST = "_why", "_last"
NO_DATE = "row without a date"
OTHER_TYPE = "type is not among events.types"
OTHER_END = "end of a pathway, which events.ending finds elsewhere"
FURTHER_END = "not the last end of the pathway"
BEFORE, AFTER, AFTER_END = "before the first day", "after the last day", "after the end"


@dataclass(frozen=True)
class RowEvents:
    """events: the columns of the log and ROW, the row of each (null: an end that is no row).
    left_out, moved: patient_id, reason, n (`frames.losses`).
    """

    events: pl.DataFrame
    left_out: pl.DataFrame
    moved: pl.DataFrame


def sources(schema: Schema) -> tuple[EventLog, EventSource]:
    if schema.events is None or schema.events.rows is None:
        raise Refusal(
            f"{schema.dataset}: layout log needs events.rows, the table whose dated rows are"
            " events. Add it to the declaration."
        )
    return schema.events, schema.events.rows


def people_table(schema: Schema) -> str:
    """The table of patients: the one that is not the rows'."""
    _, rows_of = sources(schema)
    return next((name for name in schema.tables if name != rows_of.table), rows_of.table)


def has_row_ends(log: EventLog) -> bool:
    """Whether the end of a pathway is one of the rows that are its events."""
    rows_of, ending = log.rows, log.ending
    return (
        rows_of is not None
        and ending is not None
        and ending.type is not None
        and (ending.table, ending.type) == (rows_of.table, rows_of.type)
    )


def read(
    schema: Schema, dated: pl.DataFrame, people: pl.DataFrame, patients: pl.DataFrame
) -> RowEvents:
    """`dated`: the rows with ROW; `people`: the patients' table; `patients`: their static columns,
    with a day of origin.
    """
    log, rows_of = sources(schema)
    origin = patients.select(ID, pl.col(log.origin).alias("_origin"))
    rows = _from(rows_of, dated, origin, log)
    is_end = pl.col("type").is_in(log.terminal)
    rows = rows.with_columns(
        pl.when(~pl.col("type").is_in(list(log.types)).fill_null(False))
        .then(pl.lit(OTHER_TYPE))
        .when(pl.col("day").is_null())
        .then(pl.lit(NO_DATE))
        .when(is_end & pl.lit(not has_row_ends(log)))
        .then(pl.lit(OTHER_END))
        .alias(_WHY)
    )
    others, steps = _split(rows)
    ends, further = _ends(schema, log, steps.filter(is_end), steps, dated, people, origin)
    ends, moved = ends_within_days(ends, log)
    steps = (
        steps.filter(~is_end)
        .join(ends.select(ID, pl.col("day").alias(_LAST)), on=ID, maintain_order="left")
        .with_columns(
            pl.when(pl.col("day") < log.lower_day)
            .then(pl.lit(BEFORE))
            .when(pl.col("day") > log.upper_day)
            .then(pl.lit(AFTER))
            .when(pl.col("day") > pl.col(_LAST))
            .then(pl.lit(AFTER_END))
            .alias(_WHY)
        )
    )
    outside, steps = _split(steps)
    events = in_declared_order(
        complete_events(pl.concat([steps, ends], how="diagonal_relaxed"), log), log
    )
    events, cut = within_caps(events, log)
    left_out = [losses(part, pl.col(_WHY)) for part in (others, outside)]
    return RowEvents(events, pl.concat([*left_out, further, cut]), moved)


def _split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(left out, kept)."""
    return rows.filter(pl.col(_WHY).is_not_null()), rows.filter(pl.col(_WHY).is_null()).drop(_WHY)


def _ends(
    schema: Schema,
    log: EventLog,
    ends_of_rows: pl.DataFrame,
    steps: pl.DataFrame,
    dated: pl.DataFrame,
    people: pl.DataFrame,
    origin: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The last end of each patient, and the ends among rows that are not the last (`losses`)."""
    ending = log.ending
    if ending is None:  # without a declared end, a pathway ends with its last row
        last = steps.group_by(ID).agg(pl.col("day").max())
        ends = last.with_columns(
            pl.lit(log.terminal[0]).alias("type"),
            pl.lit(None, pl.String).alias("code"),
            pl.lit(None, pl.UInt32).alias(ROW),
        )
    else:
        place = people if ending.table == people_table(schema) else dated
        ends = _from(ending, place, origin, log).filter(
            pl.col("day").is_not_null() & pl.col("type").is_in(log.terminal)
        )
    ends = ends.sort(ID, "day", maintain_order=True)
    last_ends = ends.unique(ID, keep="last", maintain_order=True)
    further = ends_of_rows.filter(~pl.col(ROW).is_in(last_ends[ROW].drop_nulls().implode()))
    return last_ends.with_columns(pl.lit(None, pl.UInt32).alias(ROW)), losses(further, FURTHER_END)


def _from(
    source: EventSource, rows: pl.DataFrame, origin: pl.DataFrame, log: EventLog
) -> pl.DataFrame:
    """Every row of a patient with an origin: patient_id, day, type, code, ROW and the attributes
    that its type has.
    """
    kind = (
        pl.lit(source.constant, pl.String)
        if source.type is None
        else pl.col(source.type).cast(pl.String)
    )
    code = pl.lit(None, pl.String) if source.code is None else pl.col(source.code).cast(pl.String)
    row = pl.col(ROW) if ROW in rows.columns else pl.lit(None, pl.UInt32).alias(ROW)
    attributes = [name for name in log.attributes if name in rows.columns]
    events = rows.join(origin, on=ID, how="inner", maintain_order="left").select(
        ID,
        (pl.col(source.date) - pl.col("_origin")).dt.total_days().alias("day"),
        kind.alias("type"),
        code.alias("code"),
        row,
        *attributes,
    )
    owners = {
        attribute: [
            name for name, event_type in log.types.items() if attribute in event_type.attributes
        ]
        for attribute in attributes
    }
    return events.with_columns(
        pl.when(pl.col("type").is_in(names)).then(pl.col(attribute)).alias(attribute)
        for attribute, names in owners.items()
    )
