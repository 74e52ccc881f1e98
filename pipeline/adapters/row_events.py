"""The rows of a log's tables as events: each row, and the end of an interval in it, is an event of
the log, or is left out for a reason that is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from pipeline.adapters.frames import (
    complete_events,
    ends_within_days,
    in_declared_order,
    losses,
    within_caps,
)
from pipeline.adapters.intervals import stops_of, without_loose_stops
from pipeline.adapters.row_slots import SOURCE, slot, stop_slot
from pipeline.adapters.row_times import ROW, read_start
from pipeline.refusal import Refusal
from pipeline.schema.event_days import ends_are_rows, has_row_ends, people_table
from pipeline.schema.event_source import EventSource
from pipeline.schema.patient_log import ID
from pipeline.schema.values import EventLog, Schema

Tables = Mapping[str, pl.DataFrame]
_WHY, _LAST = "_why", "_last"
NO_DATE = "row without a date"
OTHER_TYPE = "type is not among events.types"
OTHER_END = "end of a pathway, which events.ending finds elsewhere"
FURTHER_END = "not the last end of the pathway"
BEFORE, AFTER, AFTER_END = "before the first day", "after the last day", "after the end"


@dataclass(frozen=True)
class RowEvents:
    """events: the columns of the log, ROW and SOURCE (row_slots.py), the row and the place in it of
    each (null: an end that is no row). left_out, moved: patient_id, reason, n (`frames.losses`).
    """

    events: pl.DataFrame
    left_out: pl.DataFrame
    moved: pl.DataFrame


def log_of(schema: Schema) -> EventLog:
    """Raises Refusal for a log without rows of events."""
    if schema.events is None or not schema.events.rows:
        raise Refusal(
            f"{schema.dataset}: layout log needs events.rows, the tables whose rows are events. Add"
            " it to the declaration."
        )
    return schema.events


def n_found(schema: Schema, tables: Tables) -> int:
    """How many events the rows of these tables tell: each row of a table of rows, each time that is
    filled in the patients' table, and each end of an interval.
    """
    log, people, n = log_of(schema), people_table(schema), 0
    for source in log.rows:
        if source.table not in tables:
            continue
        rows = tables[source.table]
        n += (rows.filter(_is_told(source)) if source.table == people else rows).height
        if source.stop is not None:
            n += rows.height - rows[source.stop].null_count()
    ends = {end.table for end in log.ending} - {people} - {source.table for source in log.rows}
    return n + sum(tables[name].height for name in ends if name in tables)


def read(schema: Schema, tables: Tables, patients: pl.DataFrame) -> RowEvents:
    """`tables`: by table the rows with patient_id and ROW; `patients`: the static columns of those
    who have a day 0.
    """
    log = log_of(schema)
    starts = _starts(schema, log, tables, patients)
    is_end = pl.col("type").is_in(log.terminal)
    starts = starts.with_columns(
        pl.when(~pl.col("type").is_in(list(log.types)).fill_null(False))
        .then(pl.lit(OTHER_TYPE))
        .when(pl.col("day").is_null())
        .then(pl.lit(NO_DATE))
        .when(is_end & pl.lit(not has_row_ends(log)))
        .then(pl.lit(OTHER_END))
        .alias(_WHY)
    )
    others, steps = _split(starts)
    every_stop = stops_of(schema, log, tables, patients)
    ends, further = _ends(schema, log, steps, every_stop, tables, patients)
    ends, moved = ends_within_days(ends, log)
    outside, steps = _within_days(log, steps.filter(~is_end), ends)
    loose, stops, shifted = without_loose_stops(log, every_stop, steps)
    late, stops = _within_days(log, stops, ends)
    events = in_declared_order(
        complete_events(pl.concat([steps, stops, ends], how="diagonal_relaxed"), log), log
    )
    closed = _without_idle_closers(events, log)
    within, cut = within_caps(closed, log)
    capped = _with_starts(within)
    left_out = [losses(part, pl.col(_WHY)) for part in (others, outside, loose, late)]
    lost = [losses(_rest(events, closed), NOTHING_OPEN), losses(_rest(within, capped), START_CUT)]
    return RowEvents(
        capped.with_columns(seq=pl.int_range(pl.len(), dtype=pl.Int32).over(ID)),
        pl.concat([*left_out, *lost, further, cut]),
        pl.concat([moved, shifted]),
    )


NOTHING_OPEN = "end of what is not open"
START_CUT = "end of an interval whose start is above a cap"


def _rest(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    return before.join(after, on=[ID, SOURCE, ROW], how="anti", nulls_equal=True)


def _without_idle_closers(events: pl.DataFrame, log: EventLog) -> pl.DataFrame:
    """Without ends of contexts that are not open: they end nothing."""
    kind, position, is_idle = pl.col("type"), pl.int_range(pl.len()).over(ID), pl.lit(False)
    for opener in {one.closes for one in log.types.values()} - {None}:
        closers = [name for name, one in log.types.items() if one.closes == opener]
        opened, closed = (
            pl.when(mark).then(position).forward_fill().shift(1).over(ID).fill_null(-1)
            for mark in (kind == opener, kind.is_in(closers))
        )
        is_idle |= kind.is_in(closers) & (opened <= closed)
    return events.filter(~is_idle)


def _with_starts(events: pl.DataFrame) -> pl.DataFrame:
    """Without ends of intervals whose start is not there."""
    is_stop = pl.col(SOURCE).str.ends_with(stop_slot("")).fill_null(False)
    starts = events.filter(~is_stop).select(ROW, pl.concat_str(SOURCE, pl.lit(stop_slot(""))))
    has_start = events.join(starts, on=[ROW, SOURCE], how="semi", maintain_order="left")
    gone = events.filter(is_stop).join(has_start, on=[ROW, SOURCE], how="anti")
    return events.join(gone, on=[ROW, SOURCE], how="anti", maintain_order="left")


def _split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(left out, kept)."""
    return rows.filter(pl.col(_WHY).is_not_null()), rows.filter(pl.col(_WHY).is_null()).drop(_WHY)


def _within_days(
    log: EventLog, rows: pl.DataFrame, ends: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(left out, kept): within the days of the log, up to the patient's end."""
    placed = rows.join(
        ends.select(ID, pl.col("day").alias(_LAST)), on=ID, how="left", maintain_order="left"
    ).with_columns(
        pl.when(pl.col("day") < log.lower_day)
        .then(pl.lit(BEFORE))
        .when(pl.col("day") > log.upper_day)
        .then(pl.lit(AFTER))
        .when(pl.col("day") > pl.col(_LAST))
        .then(pl.lit(AFTER_END))
        .alias(_WHY)
    )
    return _split(placed.drop(_LAST))


def _is_told(source: EventSource) -> pl.Expr:
    """Whether a patient's row tells the event of the source."""
    is_told = pl.lit(True) if source.time is None else pl.col(source.time).is_not_null()
    if source.status is None:
        return is_told
    return is_told & pl.col(source.status).cast(pl.String).is_in(list(source.codes or ()))


def _starts(schema: Schema, log: EventLog, tables: Tables, patients: pl.DataFrame) -> pl.DataFrame:
    people, parts = people_table(schema), []
    for place, source in enumerate(log.rows):
        rows = tables[source.table]
        if source.table == people:
            rows = rows.filter(_is_told(source))
        parts.append(
            read_start(source, rows, patients, log).with_columns(pl.lit(slot(place)).alias(SOURCE))
        )
    return pl.concat(parts, how="diagonal_relaxed")


def _ends(
    schema: Schema,
    log: EventLog,
    steps: pl.DataFrame,
    stops: pl.DataFrame,
    tables: Tables,
    patients: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The end of each patient, and the ends among rows that are not the last (`losses`)."""
    if not log.ending:
        return _last_rows(log, [steps, stops], patients), losses(steps.clear(), FURTHER_END)
    by_source = []
    for place, source in enumerate(log.ending):
        ends = read_start(source, tables[source.table], patients, log).filter(
            pl.col("day").is_not_null() & pl.col("type").is_in(log.terminal)
        )
        last = ends.sort(ID, "day", maintain_order=True).unique(
            ID, keep="last", maintain_order=True
        )
        by_source.append(last.with_columns(_place=pl.lit(place)))
    ends = (
        pl.concat(by_source, how="diagonal_relaxed")
        .sort(ID, "_place", maintain_order=True)
        .unique(ID, keep="first", maintain_order=True)
        .drop("_place")
    )
    further = steps.filter(pl.col("type").is_in(log.terminal)).select(ID, ROW)
    if ends_are_rows(schema, log) and not has_row_ends(log):  # a table of ends and nothing else
        only = tables[log.ending[0].table]
        further = only.join(patients, on=ID, how="semi").select(ID, ROW)
    further = further.join(ends, on=[ID, ROW], how="anti")
    return ends.with_columns(pl.lit(None, pl.UInt32).alias(ROW)), losses(further, FURTHER_END)


def _last_rows(log: EventLog, rows: Sequence[pl.DataFrame], patients: pl.DataFrame) -> pl.DataFrame:
    """Without a declared end, a pathway ends with its last row, or on day 0."""
    days = pl.concat([one.select(ID, pl.col("day").cast(pl.Int64)) for one in rows])
    last = days.group_by(ID).agg(pl.col("day").max())
    return (
        patients.select(ID)
        .join(last, on=ID, how="left", maintain_order="left")
        .select(
            ID,
            pl.col("day").fill_null(0),
            pl.lit(log.terminal[0]).alias("type"),
            pl.lit(None, pl.String).alias("code"),
            pl.lit(None, pl.UInt32).alias(ROW),
        )
    )
