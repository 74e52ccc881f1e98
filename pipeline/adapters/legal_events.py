"""What a source says against the declared rules of its events, mended patient by patient: an event
that its group never has or that comes too late is left out, an end of a context that comes too late
is moved, a value that leaps is missing, and a static value that the pathway contradicts is missing.

A registry can break these rules by a slip in one row, which must not cost the patient. What cannot
be mended (a column that may not be missing) is left as it is, and ingest drops the patient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from pipeline.adapters.frames import in_declared_order, losses, no_losses
from pipeline.schema.groups import Group, in_group
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Column, Deadline, EventLog, Exclusion, Schema, Window

_MARKS = ["_opened", "_anew", "_late"]
EXCLUDED = "excluded for the patient's group"
TOO_LATE = "after its window"
MOVED = "end of a context after its window, moved to the last event of it"


@dataclass(frozen=True)
class LegalEvents:
    """The static columns and the events in order; what was left out or moved (`frames.losses`)."""

    patients: pl.DataFrame
    events: pl.DataFrame
    left_out: pl.DataFrame
    moved: pl.DataFrame


def mended(schema: Schema, patients: pl.DataFrame, events: pl.DataFrame) -> LegalEvents:
    """events: in order and within their caps; further columns stay."""
    log = schema.events
    if log is None:
        return LegalEvents(patients, events, no_losses(), no_losses())
    patients = _without_contradictions(schema, log, patients, events)
    legal, excluded = _without_exclusions(log, patients, events)
    timely, late, moved = _within_windows(log, legal)
    for name, most in (log.largest_steps or {}).items():
        timely = _without_leaps(timely, log, name, most)
    left_out = pl.concat([losses(excluded, EXCLUDED), losses(late, TOO_LATE)])
    return LegalEvents(patients, timely, left_out, losses(moved, MOVED))


def _without_contradictions(
    schema: Schema, log: EventLog, patients: pl.DataFrame, events: pl.DataFrame
) -> pl.DataFrame:
    for group, accused in _contradictions(log, events):
        name = _doubtful(group, schema)
        if name is None:
            continue
        is_wrong = in_group(group) & pl.col(ID).is_in(accused.implode())
        patients = patients.with_columns(
            pl.when(is_wrong).then(None).otherwise(pl.col(name)).alias(name)
        )
    return patients


def _contradictions(log: EventLog, events: pl.DataFrame) -> Iterator[tuple[Group, pl.Series]]:
    """Groups, each with the patients (ids) whose pathways no member of it has: an end that it never
    has, or a deadline of it that passed.
    """
    for rule in log.exclusions:
        ends = [name for name in rule.types if name in log.terminal]
        if ends:
            yield rule.group, events.filter(_is_meant(rule, ends))[ID].unique()
    for deadline in log.deadlines:
        if deadline.group is not None:
            yield deadline.group, _overdue(deadline, events)


def _overdue(deadline: Deadline, events: pl.DataFrame) -> pl.Series:
    """Patients whose first trigger was not followed in time (violations.py, `deadline`)."""
    first = (pl.col("day").min(), pl.col("seq").min().alias("_at"))
    since = events.filter(pl.col("type").is_in(deadline.after)).group_by(ID).agg(*first)
    after = events.filter(pl.col("type") == deadline.event).group_by(ID).agg(*first)
    both = since.join(after, on=ID, how="left", suffix="_after")
    is_early = (pl.col("_at_after") < pl.col("_at")).fill_null(False)
    is_timely = (pl.col("day_after") <= pl.col("day") + deadline.days).fill_null(False)
    return both.filter(~is_early & ~is_timely)[ID]


def _doubtful(group: Group, schema: Schema) -> str | None:
    """The column whose value is given up: one that may be missing and then is outside the group."""
    for name, values in group.items():
        column: Column | None = schema.patients.get(name)
        if column is not None and column.nullable and None not in values:
            return name
    return None


def _is_meant(rule: Exclusion, types: list[str]) -> pl.Expr:
    is_meant = pl.col("type").is_in(types)
    if rule.codes is None:
        return is_meant
    return is_meant & pl.col("code").is_in(list(rule.codes)).fill_null(False)


def _without_exclusions(
    log: EventLog, patients: pl.DataFrame, events: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(kept, excluded). Terminals and the anchor stay: without them there is no pathway."""
    excluded = [events.clear()]
    for rule in log.exclusions:
        types = [name for name in rule.types if name not in (*log.terminal, log.anchor)]
        members = patients.filter(in_group(rule.group)).select(ID, _member=True)
        marked = events.join(members, on=ID, how="left", maintain_order="left").with_columns(
            (_is_meant(rule, types) & pl.col("_member").fill_null(False)).alias("_out")
        )
        is_out = _with_contents(types, log)
        excluded.append(marked.filter(is_out).drop("_member", "_out"))
        events = marked.filter(~is_out).drop("_member", "_out")
    return events, pl.concat(excluded)


def _with_contents(types: list[str], log: EventLog) -> pl.Expr:
    """The events that are `_out`, and what happened inside of them: up to the next of the type."""
    parts = [pl.col("_out")]
    for name in types:
        contents = [n for n, kind in log.types.items() if name in (kind.inside, kind.closes)]
        if contents:
            opener = pl.when(pl.col("type") == name).then("_out").forward_fill().over(ID)
            parts.append(pl.col("type").is_in(contents) & opener.fill_null(False))
    return pl.any_horizontal(parts)


def _within_windows(
    log: EventLog, events: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(kept, late, moved). What goes for one window may have opened another: until nothing goes."""
    late, moved = [events.clear()], [events.clear()]
    while True:
        n_before = events.height
        for window in log.windows:
            marked = _marked(window, events)
            out = marked.filter("_late")
            if log.types[window.event].closes is None:
                late.append(out.drop(_MARKS))
                events = marked.filter(~pl.col("_late")).drop(_MARKS)
            elif out.height:
                moved.append(out.drop(_MARKS))
                day = pl.when("_late").then("_opened").otherwise("day").alias("day")
                events = in_declared_order(marked.with_columns(day).drop(_MARKS), log)
        if events.height == n_before:
            break
    numbered = events.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over(ID).alias("seq"))
    return numbered, pl.concat(late), pl.concat(moved)


def _marked(window: Window, events: pl.DataFrame) -> pl.DataFrame:
    """The events with the day on which the window was last opened, and whether they are late. Where
    a type opens its own window, all that follow a late one are late, until another type opens it.
    """
    kind = pl.col("type")
    others = [name for name in window.since if name != window.event]
    marked = events.with_columns(
        pl.when(kind.is_in(window.since))
        .then("day")
        .forward_fill()
        .shift(1)
        .over(ID)
        .alias("_opened"),
        kind.is_in(others).cum_sum().over(ID).alias("_anew"),
    ).with_columns(
        ((kind == window.event) & (pl.col("day") - pl.col("_opened") > window.days))
        .fill_null(False)
        .alias("_late")
    )
    if window.event not in window.since:
        return marked
    n_late = pl.col("_late").cast(pl.Int32).cum_sum().over(ID, "_anew")
    return marked.with_columns(((kind == window.event) & (n_late > 0)).alias("_late"))


def _without_leaps(events: pl.DataFrame, log: EventLog, name: str, most: int) -> pl.DataFrame:
    """A value further from the last known one in its context than declared is missing, where it may
    be.
    """
    column = log.attributes[name]
    if not column.nullable:
        return events
    contexts = [
        kind.inside
        for kind in log.types.values()
        if name in kind.attributes and kind.inside is not None
    ]
    numbers = {value: place for place, value in enumerate(column.categories)}
    levels = events.select(
        ID,
        "seq",
        pl.col("type").is_in(contexts).cum_sum().over(ID).alias("_context"),
        pl.col(name).replace_strict(numbers, default=None, return_dtype=pl.Int32).alias("_level"),
    ).filter(pl.col("_level").is_not_null())
    has_leap = pl.col("_level").diff().over(ID, "_context").abs().max().over(ID, "_context") > most
    leaps = _leaps(levels.filter(has_leap), most)
    marked = events.join(leaps, on=[ID, "seq"], how="left", maintain_order="left")
    return marked.with_columns(
        pl.when(pl.col("_leaps").is_null()).then(pl.col(name)).alias(name)
    ).drop("_leaps")


def _leaps(levels: pl.DataFrame, most: int) -> pl.DataFrame:
    """The rows (patient_id, seq) whose level is far from the last one that was near."""
    gone, context, last = [], None, 0
    for patient, seq, place, level in levels.iter_rows():
        if (patient, place) != context:
            context, last = (patient, place), level
        elif abs(level - last) > most:
            gone.append((patient, seq, True))
        else:
            last = level
    names = [ID, "seq", "_leaps"]
    types = [levels.schema[ID], levels.schema["seq"], pl.Boolean()]
    return pl.DataFrame(gone, schema=dict(zip(names, types, strict=True)), orient="row")
