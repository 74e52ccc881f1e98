"""A pathway as one row of fixed width, for synthesizers of tables: static columns, SLOTS events
with their gaps, the end and its day.

Both ways are public rules over the declaration; no domain is learned from rows. What the width
costs is written here and nowhere mended: events beyond the last slot are lost, numbers come back
uniform within their band, event attributes and other static columns are not carried. What favours
the table: a run of cycles takes one slot, and type and code share a column, so that no code can
stand beside another type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise
from types import MappingProxyType

import pandas as pd
import polars as pl

from pipeline.evaluation.pathways import TOKEN
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Column, EventLog, Implication, Schema

SLOTS = 10  # pathways have 7.4 events on average, fewer with a run of cycles counted once
NONE = "none"
STATICS = ("SITE_GROUP", "STAGE_GROUP", "GENDER", "QUINTILE_2019", "FINAL_ROUTE")
AGE, ORIGIN, SITE, CYCLE = "AGE", "DIAGNOSISDATEBEST", "SITE_ICD10_O2_3CHAR", "SACT_CYCLE"
END, SURVIVAL = "end", "survival"
AGES = tuple(range(0, 105, 5))
# days
SURVIVALS = (
    0,
    1,
    15,
    31,
    61,
    91,
    122,
    152,
    183,
    274,
    365,
    456,
    548,
    731,
    913,
    1096,
    1278,
    1461,
    1644,
    1826,
    2009,
    2191,
    2374,
)
CYCLES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 13)  # bands of cycles in a run
INTERVALS = (7, 14, 21, 28)  # days between the cycles of a run: protocols know these
FIRST_YEAR, YEARS = 2016, 4  # of diagnosis, as declared
QUARTERS = tuple(
    date(FIRST_YEAR + year, month, 1) for year in range(YEARS) for month in (1, 4, 7, 10)
)
# one past the last band
STOPS: Mapping[str, int] = MappingProxyType({AGE: 106, "gap": 2557, SURVIVAL: 2557, "count": 21})


def columns(schema: Schema) -> dict[str, Column]:
    """The flat table's columns with their declared domains, in its order."""
    log = event_log(schema)
    flat_columns = [schema.patients[name] for name in STATICS]
    flat_columns += [
        _banded(AGE, AGES),
        Column(name=ORIGIN, kind="ordinal", categories=tuple(day.isoformat() for day in QUARTERS)),
    ]
    for slot in range(1, SLOTS + 1):
        flat_columns.append(
            Column(
                name=f"token_{slot}",
                kind="categorical",
                categories=(NONE, *vocabulary(schema)["token"]),
            )
        )
        if slot > 1:  # nothing stands before the first
            flat_columns.append(
                Column(
                    name=f"gap_{slot}", kind="ordinal", categories=(NONE, *map(str, log.gap_edges))
                )
            )
    flat_columns.append(
        Column(
            name=END,
            kind="categorical",
            categories=tuple(
                f"{name} {code}" for name in log.terminal for code in log.types[name].codes
            ),
        )
    )
    return {column.name: column for column in [*flat_columns, _banded(SURVIVAL, SURVIVALS)]}


def flat_declaration(schema: Schema, n: int) -> Schema:
    """The flat table for our own table model: an empty slot has no gap, and all that follow are
    empty too.
    """
    flat = columns(schema)
    rules = [rule for rule in schema.implications if {rule.given, rule.then} <= flat.keys()]
    for slot in range(1, SLOTS + 1):
        token = f"token_{slot}"
        if slot > 1:
            full, empty = tuple(map(str, event_log(schema).gap_edges)), (NONE,)
            rules.append(
                Implication(
                    given=token,
                    then=f"gap_{slot}",
                    allowed={v: empty if v == NONE else full for v in flat[token].categories},
                )
            )
        if slot < SLOTS:
            rules.append(
                Implication(given=token, then=f"token_{slot + 1}", allowed={NONE: (NONE,)})
            )
    return replace(
        schema,
        patients=flat,
        events=None,
        implications=tuple(rules),
        targets=(),
        quasi_identifiers=(),
        strata=(),
        population=replace(schema.population, nominal_size=n),
    )


def narrow_declaration(schema: Schema) -> Schema:
    """The declaration of what `unflatten` gives back."""
    static = {name: schema.patients[name] for name in (*STATICS, AGE, ORIGIN, SITE)}
    return replace(
        schema,
        patients=static,
        events=replace(event_log(schema), attributes={}),
        implications=tuple(
            rule for rule in schema.implications if {rule.given, rule.then} <= static.keys()
        ),
    )


def narrow(sample: PatientLog) -> PatientLog:
    """A sample without the columns that the flat table does not carry."""
    return PatientLog(
        sample.patients.select(ID, *STATICS, AGE, ORIGIN, SITE),
        sample.pathways.select(ID, "seq", "day", "type", "code"),
    )


def vocabulary(schema: Schema) -> pl.DataFrame:
    """`token`, `type`, `code`, `count` and `interval` of all that may fill a slot; count and
    interval are those of a run of cycles, else null.
    """
    log = event_log(schema)
    rows = [
        (f"{name} {code}".rstrip(), name, code or None, None, None)
        for name, kind in log.types.items()
        if not kind.terminal and name != CYCLE
        for code in kind.codes or ("",)
    ]
    runs = [
        (_run_token(count, interval), CYCLE, None, count, interval)
        for count in CYCLES
        for interval in INTERVALS
        if count > 1 or interval == 21
    ]
    return pl.DataFrame(
        [*rows, *runs],
        orient="row",
        schema={
            "token": pl.String,
            "type": pl.String,
            "code": pl.String,
            "count": pl.Int64,
            "interval": pl.Int64,
        },
    )


def flatten(schema: Schema, sample: PatientLog) -> pd.DataFrame:
    """One row per patient, in the order of the sample, with the columns of `columns(schema)`."""
    log, flat = event_log(schema), columns(schema)
    slots = _slots(sample.pathways.filter(~pl.col("type").is_in(log.terminal)), log)
    slot_columns = [
        pl.col("token").slice(k - 1, 1).first().alias(f"token_{k}") for k in range(1, SLOTS + 1)
    ]
    slot_columns += [
        pl.col("gap").slice(k - 1, 1).first().alias(f"gap_{k}") for k in range(2, SLOTS + 1)
    ]
    ends = sample.pathways.filter(pl.col("type").is_in(log.terminal)).select(
        ID, TOKEN.alias(END), _band(pl.col("day"), SURVIVALS).alias(SURVIVAL)
    )
    quarter = pl.date(
        pl.col(ORIGIN).dt.year(), (pl.col(ORIGIN).dt.quarter().cast(pl.Int32) - 1) * 3 + 1, 1
    )
    rows = sample.patients.select(
        ID, *STATICS, _band(pl.col(AGE), AGES), quarter.dt.to_string("%Y-%m-%d").alias(ORIGIN)
    )
    rows = rows.join(
        slots.group_by(ID).agg(slot_columns), on=ID, how="left", maintain_order="left"
    ).join(ends, on=ID, how="left", maintain_order="left")
    return rows.with_columns(pl.col("^(token|gap)_.*$").fill_null(NONE)).select(*flat).to_pandas()


def event_log(schema: Schema) -> EventLog:
    """The log that the schema of pathways has."""
    assert schema.events is not None
    return schema.events


def _run_token(count: int, interval: int) -> str:
    return f"{CYCLE} {count} x {interval}"


def _banded(name: str, edges: Sequence[int]) -> Column:
    return Column(name=name, kind="ordinal", categories=tuple(map(str, edges)))


def _band(value: pl.Expr, edges: Sequence[int]) -> pl.Expr:
    """The lower edge of each value's band, as text; what lies below the first is in the first."""
    return value.bin_intervals(list(edges[1:]), labels=[str(edge) for edge in edges]).cast(
        pl.String
    )


def _slots(events: pl.DataFrame, log: EventLog) -> pl.DataFrame:
    """patient_id, token, gap in order, a run of cycles being one; the gap is to the last event of
    the slot before.
    """
    cycle = pl.col("type") == CYCLE
    again = cycle & cycle.shift(1, fill_value=False).over(ID)
    runs = (
        events.sort(ID, "seq")
        .with_columns(TOKEN.alias("token"), run=(~again).cum_sum())
        .group_by(ID, "run", maintain_order=True)
        .agg(
            pl.col("token", "type").first(),
            pl.col("day").first().alias("first"),
            pl.col("day").last().alias("last"),
            pl.len().alias("n"),
        )
    )
    nearest = [(a + b) / 2 for a, b in pairwise(INTERVALS)]
    every = (
        pl.when(pl.col("n") > 1)
        .then((pl.col("last") - pl.col("first")) / (pl.col("n") - 1))
        .otherwise(21.0)
    )
    interval = every.bin_intervals(nearest, labels=[str(days) for days in INTERVALS]).cast(
        pl.String
    )
    token = (
        pl.when(cycle)
        .then(
            pl.format(f"{CYCLE} {{}} x {{}}", _band(pl.col("n").cast(pl.Int64), CYCLES), interval)
        )
        .otherwise("token")
    )
    gap = _band(pl.col("first") - pl.col("last").shift(1).over(ID), log.gap_edges)
    return runs.select(ID, token.alias("token"), gap.alias("gap"))
