"""A drawn log as the tables of layout `log` can say it: days between two values of a column of
months move to one of them, and what lies beyond the last date that a column knows is gone.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from pipeline.adapters.frames import in_declared_order
from pipeline.adapters.legal_events import mended
from pipeline.adapters.row_events import log_of
from pipeline.schema.event_days import people_table, tables_of, type_scales, writer
from pipeline.schema.event_source import DayScale
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog, Schema

NEVER = 2**31


def sayable(schema: Schema, patient_log: PatientLog) -> PatientLog:
    """The log that the tables of these patients give again. Each patient alone."""
    log = log_of(schema)
    events = patient_log.pathways
    if any(scale.is_coarse for scale in type_scales(schema).values()):
        events = mended(schema, patient_log.patients, _on_scales(schema, log, events)).events
    events = _within_dates(schema, log, patient_log.patients, events)
    if not log.ending:
        events = _ended_by_last_row(log, events)
    events = in_declared_order(events.with_columns(_told_attributes(schema, log)), log)
    return _from_first_row(
        schema,
        log,
        PatientLog(patient_log.patients, events.select(patient_log.pathways.columns)),
    )


def _from_first_row(schema: Schema, log: EventLog, patient_log: PatientLog) -> PatientLog:
    """Where day 0 is the date of a patient's first row, that row stands on day 0."""
    sources = [s for s in log.rows if s.date == log.origin and s.table != people_table(schema)]
    if log.origin is None or not sources:
        return patient_log
    place = log.rows.index(sources[0])
    types = [name for name in log.types if writer(schema, log.rows, name) == place]
    steps = patient_log.pathways.filter(
        pl.col("type").is_in(types) & ~pl.col("type").is_in(log.terminal)
    )
    first = steps.group_by(ID).agg(_first=pl.col("day").min())
    patients, events = (
        rows.join(first, on=ID, how="left", maintain_order="left").with_columns(
            pl.col("_first").fill_null(0)
        )
        for rows in (patient_log.patients, patient_log.pathways)
    )
    moved = pl.col(log.origin) + pl.duration(days="_first")
    return PatientLog(
        patients.with_columns(moved.alias(log.origin)).drop("_first"),
        events.with_columns(day=(pl.col("day") - pl.col("_first")).cast(pl.Int32)).drop("_first"),
    )


def _within_dates(
    schema: Schema, log: EventLog, patients: pl.DataFrame, events: pl.DataFrame
) -> pl.DataFrame:
    """Without the events after the last date that the declaration knows for them; the end of a
    pathway stands there at the latest.
    """
    ends = _last_dates_of_ends(schema, log)
    rows = [(s.table, name) for s in log.rows if s.date is not None for name in (s.date, s.until)]
    last_row = min([_earliest(schema, rows), *ends.values()])
    if log.origin is None or last_row >= NEVER:
        return events
    origin = patients.select(ID, _origin=pl.col(log.origin).to_physical())
    kind = pl.col("type")
    last_end = kind.replace_strict(ends, default=last_row, return_dtype=pl.Int64)
    is_end = kind.is_in(log.terminal)
    last_day = pl.when(is_end).then(last_end).otherwise(last_row) - pl.col("_origin")
    return (
        events.join(origin, on=ID, how="left", maintain_order="left")
        .filter(is_end | (pl.col("day") <= last_day))
        .with_columns(day=pl.min_horizontal("day", last_day).cast(pl.Int32))
        .drop("_origin")
    )


def _last_dates_of_ends(schema: Schema, log: EventLog) -> dict[str, int]:
    """The last date of each end, in days since 1970-01-01; NEVER where a number says its day."""
    last = {}
    for name in log.terminal:
        place = writer(schema, log.ending, name)
        if place is not None:
            end = log.ending[place]
            last[name] = _earliest(schema, [(end.table, end.date)])
    return last


def _earliest(schema: Schema, columns: Iterable[tuple[str, str | None]]) -> int:
    """The first of the last dates of these columns, in days since 1970-01-01; NEVER: none."""
    bounds = [schema.tables[table].columns[name].upper for table, name in columns if name]
    return min((int(bound) for bound in bounds if bound is not None), default=NEVER)


def _ended_by_last_row(log: EventLog, events: pl.DataFrame) -> pl.DataFrame:
    """Where no column says when a pathway ends, it ends with its last row, or on day 0."""
    is_end = pl.col("type").is_in(log.terminal)
    last = pl.col("day").filter(~is_end).max().over(ID).fill_null(0)
    return events.with_columns(day=pl.when(is_end).then(last).otherwise("day").cast(pl.Int32))


def _told_attributes(schema: Schema, log: EventLog) -> list[pl.Expr]:
    """Attributes, missing at events whose table has no such column."""
    values = []
    for name, column in log.attributes.items():
        types = [kind.name for kind in log.types.values() if name in kind.attributes]
        lacking = [kind for kind in types if not _has_column(schema, log, kind, name)]
        if lacking and column.nullable:
            values.append(pl.when(~pl.col("type").is_in(lacking)).then(name).alias(name))
    return values


def _has_column(schema: Schema, log: EventLog, kind: str, name: str) -> bool:
    return any(name in schema.tables[table].columns for table in tables_of(schema, log, kind))


def _on_scales(schema: Schema, log: EventLog, events: pl.DataFrame) -> pl.DataFrame:
    """Every event on the nearest day that its column can say, in the order of the pathway: where
    two would change places, the later one moves on. What has no day left goes, with what happened
    inside of it.
    """
    ordered = events.sort(ID, "seq")
    walk = _Walk(schema, log, ordered)
    for position in range(log.max_events):
        walk.step(position)
    return ordered.with_columns(day=pl.Series(walk.placed, dtype=pl.Int32)).filter(
        pl.Series(walk.is_kept)
    )


class _Walk:
    """All pathways at once, event by event. placed: day [rows], where is_kept."""

    def __init__(self, schema: Schema, log: EventLog, events: pl.DataFrame) -> None:
        self.names = list(log.types)
        self.log = log
        scales = type_scales(schema)
        self.scales = [scales.get(name, DayScale()) for name in self.names]
        self.kind = (
            events["type"]
            .replace_strict({name: t for t, name in enumerate(self.names)}, return_dtype=pl.Int32)
            .to_numpy()
        )
        self.patient = events[ID].rank("dense").to_numpy().astype(np.int64) - 1
        self.seq, self.day = events["seq"].to_numpy(), events["day"].to_numpy().astype(np.int64)
        n = int(self.patient.max(initial=-1)) + 1
        self.last_day = np.full(n, -NEVER, np.int64)
        self.last_kind = np.full(n, -1, np.int64)
        self.started = np.zeros((n, len(self.names)), np.int64)  # day of the last of each type
        self.is_gone = np.zeros((n, len(self.names)), bool)  # the last of the type went
        self.placed, self.is_kept = self.day.copy(), np.ones(len(self.day), bool)
        self.end = np.full(n, NEVER, np.int64)  # last day on which the pathway can end
        for t, name in enumerate(self.names):
            if log.types[name].terminal:
                last = self.scales[t].within(log.lower_day, log.upper_day)[1]
                self.end[self.patient[self.kind == t]] = last

    def step(self, position: int) -> None:
        for t, scale in enumerate(self.scales):
            rows = np.flatnonzero((self.seq == position) & (self.kind == t))
            if len(rows):
                self._place(rows, t, scale)

    def _place(self, rows: np.ndarray, t: int, scale: DayScale) -> None:
        kind, who = self.log.types[self.names[t]], self.patient[rows]
        contexts = [self.names.index(name) for name in (kind.closes, kind.inside) if name]
        base = self.started[who, contexts[0]] if scale.is_length else 0
        least = self.last_day[who] + (t < self.last_kind[who])
        least = np.maximum(least, self.log.lower_day)
        day = np.maximum(
            scale.nearest((self.day[rows] - base).astype(float)),
            scale.from_on((least - base).astype(float)),
        )
        day = day + base
        last = self.log.upper_day
        if not scale.is_length:
            last = scale.within(self.log.lower_day, self.log.upper_day)[1]
        last = np.minimum(last, self.end[who])
        if kind.terminal:
            day = np.minimum(day, last)
        has_place = (day <= last) & ((self.day[rows] >= 0) | (day < 0))
        for context in contexts:
            has_place &= ~self.is_gone[who, context]
        self.is_gone[who, t] = ~has_place
        self.is_kept[rows], self.placed[rows] = has_place, day
        self.started[who[has_place], t] = day[has_place]
        self.last_day[who[has_place]], self.last_kind[who[has_place]] = day[has_place], t
