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

import numpy as np
import pandas as pd
import polars as pl
from pathway_data import EXTRACT

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


def columns(told: Schema) -> dict[str, Column]:
    """The flat table's columns with their declared domains, in its order."""
    log = _log(told)
    found = [told.patients[name] for name in STATICS]
    found += [
        _banded(AGE, AGES),
        Column(name=ORIGIN, kind="ordinal", categories=tuple(day.isoformat() for day in QUARTERS)),
    ]
    for slot in range(1, SLOTS + 1):
        found.append(
            Column(
                name=f"token_{slot}",
                kind="categorical",
                categories=(NONE, *vocabulary(told)["token"]),
            )
        )
        if slot > 1:  # nothing stands before the first
            found.append(
                Column(
                    name=f"gap_{slot}", kind="ordinal", categories=(NONE, *map(str, log.gap_edges))
                )
            )
    found.append(
        Column(
            name=END,
            kind="categorical",
            categories=tuple(
                f"{name} {code}" for name in log.terminal for code in log.types[name].codes
            ),
        )
    )
    return {column.name: column for column in [*found, _banded(SURVIVAL, SURVIVALS)]}


def declaration(told: Schema, n: int) -> Schema:
    """The flat table for our own table model: an empty slot has no gap, and all that follow are
    empty too.
    """
    flat = columns(told)
    rules = [rule for rule in told.implications if {rule.given, rule.then} <= flat.keys()]
    for slot in range(1, SLOTS + 1):
        token = f"token_{slot}"
        if slot > 1:
            full, empty = tuple(map(str, _log(told).gap_edges)), (NONE,)
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
        told,
        patients=flat,
        events=None,
        implications=tuple(rules),
        targets=(),
        quasi_identifiers=(),
        strata=(),
        population=replace(told.population, nominal_size=n),
    )


def narrowed(told: Schema) -> Schema:
    """The declaration of what `unflatten` gives back."""
    kept = {name: told.patients[name] for name in (*STATICS, AGE, ORIGIN, SITE)}
    return replace(
        told,
        patients=kept,
        events=replace(_log(told), attributes={}),
        implications=tuple(
            rule for rule in told.implications if {rule.given, rule.then} <= kept.keys()
        ),
    )


def narrow(sample: PatientLog) -> PatientLog:
    """A sample without the columns that the flat table does not carry."""
    return PatientLog(
        sample.patients.select(ID, *STATICS, AGE, ORIGIN, SITE),
        sample.events.select(ID, "seq", "day", "type", "code"),
    )


def vocabulary(told: Schema) -> pl.DataFrame:
    """`token`, `type`, `code`, `count` and `interval` of all that may fill a slot; count and
    interval are those of a run of cycles, else null.
    """
    log = _log(told)
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


def flatten(told: Schema, sample: PatientLog) -> pd.DataFrame:
    """One row per patient, in the order of the sample, with the columns of `columns(told)`."""
    log, flat = _log(told), columns(told)
    slots = _slots(sample.events.filter(~pl.col("type").is_in(log.terminal)), log)
    filled = [
        pl.col("token").slice(k - 1, 1).first().alias(f"token_{k}") for k in range(1, SLOTS + 1)
    ]
    filled += [pl.col("gap").slice(k - 1, 1).first().alias(f"gap_{k}") for k in range(2, SLOTS + 1)]
    ends = sample.events.filter(pl.col("type").is_in(log.terminal)).select(
        ID, TOKEN.alias(END), _band(pl.col("day"), SURVIVALS).alias(SURVIVAL)
    )
    quarter = pl.date(
        pl.col(ORIGIN).dt.year(), (pl.col(ORIGIN).dt.quarter().cast(pl.Int32) - 1) * 3 + 1, 1
    )
    rows = sample.patients.select(
        ID, *STATICS, _band(pl.col(AGE), AGES), quarter.dt.to_string("%Y-%m-%d").alias(ORIGIN)
    )
    rows = rows.join(slots.group_by(ID).agg(filled), on=ID, how="left", maintain_order="left").join(
        ends, on=ID, how="left", maintain_order="left"
    )
    return rows.with_columns(pl.col("^(token|gap)_.*$").fill_null(NONE)).select(*flat).to_pandas()


def unflatten(told: Schema, rows: pd.DataFrame, seed: int) -> PatientLog:
    """The log that the rows tell, of the columns that `narrow` keeps. Empty slots are passed over;
    a slot without a gap follows on the same day; a pathway that outlives its end shrinks until it
    fits; patients still alive end at the extract date.

    The site, which the rows lack, is the one of its group that forbids the fewest codes of the
    pathway.
    """
    log, rng = _log(told), np.random.default_rng(seed)
    table = pl.from_pandas(rows).cast(pl.String).with_row_index(ID, 1).cast({ID: pl.Int64})
    patients = table.select(
        ID,
        *STATICS,
        pl.Series(AGE, _drawn(table[AGE], AGES, STOPS[AGE], rng)),
        # a quarter has 90 days
        pl.col(ORIGIN).str.to_date() + pl.duration(days=pl.Series(rng.integers(0, 90, len(table)))),
    )
    slots = pl.concat(
        [
            table.select(
                ID, slot=k, token=f"token_{k}", gap=pl.col(f"gap_{k}") if k > 1 else pl.lit(NONE)
            )
            for k in range(1, SLOTS + 1)
        ]
    )
    slots = (
        slots.filter(pl.col("token") != NONE)
        .join(vocabulary(told), on="token", maintain_order="left")
        .sort(ID, "slot", maintain_order=True)
    )
    slots = slots.with_columns(
        pl.Series("gap", _drawn(slots["gap"], log.gap_edges, STOPS["gap"], rng)),
        pl.Series("count", _drawn(slots["count"].cast(pl.String), CYCLES, STOPS["count"], rng)),
    )
    zero = pl.col("day").filter(pl.col("type") == log.anchor).first().over(ID)
    events = _expanded(slots).with_columns(pl.col("day") - zero.fill_null(0))
    events = _until(events, _ends(log, table, patients, rng))
    events = events.select(
        ID,
        pl.int_range(pl.len(), dtype=pl.Int32).over(ID).alias("seq"),
        pl.col("day").cast(pl.Int32),
        "type",
        "code",
    )
    return narrow(PatientLog(patients.with_columns(_sites(told, patients, events)), events))


def _log(told: Schema) -> EventLog:
    assert told.events is not None
    return told.events


def _run_token(count: int, interval: int) -> str:
    return f"{CYCLE} {count} x {interval}"


def _banded(name: str, edges: Sequence[int]) -> Column:
    return Column(name=name, kind="ordinal", categories=tuple(map(str, edges)))


def _band(value: pl.Expr, edges: Sequence[int]) -> pl.Expr:
    """The lower edge of each value's band, as text; what lies below the first is in the first."""
    return value.bin_intervals(list(edges[1:]), labels=[str(edge) for edge in edges]).cast(
        pl.String
    )


def _drawn(
    bands: pl.Series, edges: Sequence[int], stop: int, rng: np.random.Generator
) -> np.ndarray:
    """Integers, uniform within each band; NONE and null are 0."""
    width = {str(low): high - low for low, high in zip(edges, (*edges[1:], stop), strict=True)}
    known = bands.replace(NONE, None)
    low = known.cast(pl.Int64).fill_null(0).to_numpy()
    return low + (
        rng.random(len(bands))
        * known.replace_strict(width, default=0, return_dtype=pl.Int64).fill_null(0).to_numpy()
    ).astype(np.int64)


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


def _expanded(slots: pl.DataFrame) -> pl.DataFrame:
    """patient_id, day, type, code of every event, days counted from each patient's first."""
    times = slots.with_columns(pl.col("count").clip(1), pl.col("interval").fill_null(0))
    span = (pl.col("count") - 1) * pl.col("interval")
    gap = pl.when(pl.int_range(pl.len()).over(ID) > 0).then("gap").otherwise(0)
    start = (gap + span).cum_sum().over(ID) - span
    times = times.with_columns(start=start, turn=pl.int_ranges("count")).explode("turn")
    return times.select(
        ID, (pl.col("start") + pl.col("turn") * pl.col("interval")).alias("day"), "type", "code"
    )


def _ends(
    log: EventLog, table: pl.DataFrame, patients: pl.DataFrame, rng: np.random.Generator
) -> pl.DataFrame:
    """patient_id, day, type, code of every end; none is after the extract date, and who is alive
    has it for an end.
    """
    last = (pl.lit(EXTRACT) - pl.col(ORIGIN)).dt.total_days()
    survived = pl.Series(_drawn(table[SURVIVAL], SURVIVALS, STOPS[SURVIVAL], rng))
    alive = table[END] == " ".join(log.observation_end or ())
    return patients.select(
        ID,
        day=pl.when(alive).then(last).otherwise(pl.min_horizontal(survived, last)),
        type=table[END].str.extract(r"^(\S+)"),
        code=table[END].str.extract(r"^\S+ (.+)$"),
    )


def _until(events: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """Both together, each patient's end last. Where events lie after it, the days from day 0 on
    shrink by one factor until they fit.
    """
    timed = events.join(ends.select(ID, end="day"), on=ID, maintain_order="left").with_columns(
        last=pl.col("day").max().over(ID)
    )
    fits = (
        pl.when((pl.col("last") > pl.col("end")) & (pl.col("day") > 0))
        .then(pl.col("day") * pl.col("end") // pl.col("last"))
        .otherwise("day")
    )
    return pl.concat(
        [
            timed.select(ID, fits.alias("day"), "type", "code"),
            ends.select(ID, "day", "type", "code"),
        ]
    ).sort(ID, maintain_order=True)


def _sites(told: Schema, patients: pl.DataFrame, events: pl.DataFrame) -> pl.Series:
    """Per patient, the site of the group (the first declared among equals) that forbids the fewest
    of the pathway's codes.
    """
    rule = next(
        rule for rule in told.implications if (rule.given, rule.then) == ("SITE_GROUP", SITE)
    )
    pairs = pl.DataFrame(
        [(group, k, site) for group, sites in rule.allowed.items() for k, site in enumerate(sites)],
        orient="row",
        schema={"SITE_GROUP": pl.String, "place": pl.Int64, SITE: pl.String},
    )
    bound = [legal for legal in _log(told).legal_codes if legal.given == SITE]
    legal = pl.DataFrame(
        [
            (rule.type, site, code)
            for rule in bound
            for site, codes in rule.allowed.items()
            for code in codes
        ],
        orient="row",
        schema={"type": pl.String, SITE: pl.String, "code": pl.String},
    )
    choices = patients.select(ID, "SITE_GROUP").join(pairs, on="SITE_GROUP")
    asked = (
        events.filter(pl.col("type").is_in([rule.type for rule in bound]))
        .select(ID, "type", "code")
        .join(choices.select(ID, SITE), on=ID)
    )
    forbidden = (
        asked.join(legal, on=["type", SITE, "code"], how="anti").group_by(ID, SITE).len("forbidden")
    )
    best = (
        choices.join(forbidden, on=[ID, SITE], how="left")
        .sort(ID, pl.col("forbidden").fill_null(0), "place")
        .unique(ID, keep="first")
    )
    return patients.join(best, on=ID, how="left", maintain_order="left")[SITE]
