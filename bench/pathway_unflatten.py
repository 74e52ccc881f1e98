"""From rows of fixed width back to pathways (bench/pathway_flat.py)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import polars as pl

from bench.pathway_data import EXTRACT
from bench.pathway_flat import (
    AGE,
    AGES,
    CYCLES,
    END,
    NONE,
    ORIGIN,
    SITE,
    SLOTS,
    STATICS,
    STOPS,
    SURVIVAL,
    SURVIVALS,
    event_log,
    narrow,
    vocabulary,
)
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog, Schema


def unflatten(schema: Schema, rows: pd.DataFrame, seed: int) -> PatientLog:
    """The log that the rows tell, of the columns that `narrow` keeps. Empty slots are passed over;
    a slot without a gap follows on the same day; a pathway that outlives its end shrinks until it
    fits; patients still alive end at the extract date.

    The site, which the rows lack, is the one of its group that forbids the fewest codes of the
    pathway.
    """
    log, rng = event_log(schema), np.random.default_rng(seed)
    table = pl.from_pandas(rows).cast(pl.String).with_row_index(ID, 1).cast({ID: pl.Int64})
    patients = table.select(
        ID,
        *STATICS,
        pl.Series(AGE, _draw_within(table[AGE], AGES, STOPS[AGE], rng)),
        # a quarter has 90 days
        pl.col(ORIGIN).str.to_date()
        + pl.duration(days=pl.lit(pl.Series(rng.integers(0, 90, len(table))))),
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
        .join(vocabulary(schema), on="token", maintain_order="left")
        .sort(ID, "slot", maintain_order=True)
    )
    slots = slots.with_columns(
        pl.Series("gap", _draw_within(slots["gap"], log.gap_edges, STOPS["gap"], rng)),
        pl.Series(
            "count", _draw_within(slots["count"].cast(pl.String), CYCLES, STOPS["count"], rng)
        ),
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
    return narrow(PatientLog(patients.with_columns(_sites(schema, patients, events)), events))


def _draw_within(
    bands: pl.Series, edges: Sequence[int], stop: int, rng: np.random.Generator
) -> np.ndarray:
    """Integers, uniform within each band; NONE and null are 0."""
    width = {str(low): high - low for low, high in zip(edges, (*edges[1:], stop), strict=True)}
    starts = bands.replace(NONE, None)
    low = starts.cast(pl.Int64).fill_null(0).to_numpy()
    return low + (
        rng.random(len(bands))
        * starts.replace_strict(width, default=0, return_dtype=pl.Int64).fill_null(0).to_numpy()
    ).astype(np.int64)


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
    survived = pl.Series(_draw_within(table[SURVIVAL], SURVIVALS, STOPS[SURVIVAL], rng))
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


def _sites(schema: Schema, patients: pl.DataFrame, events: pl.DataFrame) -> pl.Series:
    """Per patient, the site of the group (the first declared among equals) that forbids the fewest
    of the pathway's codes.
    """
    rule = next(
        rule for rule in schema.implications if (rule.given, rule.then) == ("SITE_GROUP", SITE)
    )
    pairs = pl.DataFrame(
        [(group, k, site) for group, sites in rule.allowed.items() for k, site in enumerate(sites)],
        orient="row",
        schema={"SITE_GROUP": pl.String, "place": pl.Int64, SITE: pl.String},
    )
    bound = [legal for legal in event_log(schema).legal_codes if legal.given == SITE]
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
    with_site = (
        events.filter(pl.col("type").is_in([rule.type for rule in bound]))
        .select(ID, "type", "code")
        .join(choices.select(ID, SITE), on=ID)
    )
    forbidden = (
        with_site.join(legal, on=["type", SITE, "code"], how="anti")
        .group_by(ID, SITE)
        .len("forbidden")
    )
    best = (
        choices.join(forbidden, on=[ID, SITE], how="left")
        .sort(ID, pl.col("forbidden").fill_null(0), "place")
        .unique(ID, keep="first")
    )
    return patients.join(best, on=ID, how="left", maintain_order="left")[SITE]
