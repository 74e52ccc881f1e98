"""Regimens, cycles and outcomes to events. Regimens that overlap are told one after the other: the
next one's start ends the one before.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.adapters.simulacrum.names import (
    CYCLE,
    CYCLES_PER_REGIMEN,
    MISSING_OUTCOME,
    ORIGIN,
    OUTCOME,
    REGIMEN,
    decision_band,
)
from pipeline.adapters.simulacrum.place import keep, legal, placed
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema

REGIMEN_ID = "MERGED_REGIMEN_ID"
YES = ("Y", "y", "1", "01")
NO = ("N", "n", "2", "02")
Tables = Mapping[str, pl.DataFrame]


def sact_events(
    schema: Schema, tables: Tables, patients: pl.DataFrame, bounds: pl.DataFrame
) -> list[pl.DataFrame]:
    """SACT_REGIMEN, SACT_CYCLE and SACT_END. A regimen that is not legal for the site, or starts on
    the day of another, is not told.
    """
    assert schema.events is not None
    regimens = _regimens(schema, tables, patients, bounds)
    cycles = _cycles(tables, regimens)
    ends = _ends(tables, regimens, cycles, schema.events.types["SACT_END"].codes)
    return [
        keep(regimens, "code", "intent", "decision_days", "clinical_trial"),
        keep(cycles, "cycle_performance"),
        keep(ends, "code", "modified"),
    ]


def _regimens(
    schema: Schema, tables: Tables, patients: pl.DataFrame, bounds: pl.DataFrame
) -> pl.DataFrame:
    assert schema.events is not None
    rows = (
        tables[REGIMEN]
        .with_row_index("_row")
        .with_columns(pl.col("ENCORE_PATIENT_ID").alias(ID), pl.col("MAPPED_REGIMEN").alias("code"))
    )
    rows = legal(
        schema,
        placed(rows, bounds, "START_DATE_OF_REGIMEN", "SACT_REGIMEN", REGIMEN),
        patients,
        "SACT_REGIMEN",
    )
    rows = rows.sort(ID, "day", REGIMEN_ID).unique([ID, "day"], keep="first", maintain_order=True)
    rows = rows.filter(
        pl.int_range(pl.len()).over(ID)
        < (schema.events.types["SACT_REGIMEN"].at_most or schema.events.max_events)
    )
    trial = pl.col("CLINICAL_TRIAL")
    return rows.with_columns(
        pl.col("INTENT_OF_TREATMENT").alias("intent"),
        decision_band(
            (pl.col("START_DATE_OF_REGIMEN") - pl.col("DATE_DECISION_TO_TREAT")).dt.total_days()
        ).alias("decision_days"),
        pl.when(trial.is_in(YES))
        .then(pl.lit("Y"))
        .when(trial.is_in(NO))
        .then(pl.lit("N"))
        .alias("clinical_trial"),
        pl.min_horizontal(pl.col("day").shift(-1).over(ID) - 1, "_last_day").alias("_until"),
    )


def _cycles(tables: Tables, regimens: pl.DataFrame) -> pl.DataFrame:
    """Cycles on different days from the regimen's start to the last day before the next regimen;
    one dated earlier counts from the start.
    """
    rows = (
        tables[CYCLE]
        .with_row_index("_row")
        .join(
            regimens.select(ID, REGIMEN_ID, ORIGIN, pl.col("day").alias("_start"), "_until"),
            on=REGIMEN_ID,
            how="inner",
            maintain_order="left",
        )
    )
    days = pl.max_horizontal(
        (pl.col("START_DATE_OF_CYCLE") - pl.col(ORIGIN)).dt.total_days(), "_start"
    )
    rows = rows.filter(pl.col("START_DATE_OF_CYCLE").is_not_null()).with_columns(
        days.alias("day"),
        pl.lit("SACT_CYCLE").alias("type"),
        pl.lit(CYCLE).alias("_source"),
        pl.col("PERF_STATUS_START_OF_CYCLE").alias("cycle_performance"),
    )
    rows = rows.filter(pl.col("day") <= pl.col("_until")).sort(
        ID, REGIMEN_ID, "day", "CYCLE_NUMBER", "_row"
    )
    rows = rows.unique([ID, REGIMEN_ID, "day"], keep="first", maintain_order=True)
    return rows.filter(pl.int_range(pl.len()).over(ID, REGIMEN_ID) < CYCLES_PER_REGIMEN)


def _ends(
    tables: Tables, regimens: pl.DataFrame, cycles: pl.DataFrame, summaries: tuple[str, ...]
) -> pl.DataFrame:
    """One end per regimen: the final treatment, or the last cycle, or the start; never before the
    last cycle nor after the next start.
    """
    last = cycles.group_by(REGIMEN_ID).agg(pl.col("day").max().alias("_last_cycle"))
    outcomes = (
        tables[OUTCOME].with_row_index("_row").unique(REGIMEN_ID, keep="first", maintain_order=True)
    )
    rows = (
        regimens.drop("_row", "code")
        .join(last, on=REGIMEN_ID, how="left", maintain_order="left")
        .join(outcomes, on=REGIMEN_ID, how="left", maintain_order="left")
    )
    final = (pl.col("DATE_OF_FINAL_TREATMENT") - pl.col(ORIGIN)).dt.total_days()
    earliest = pl.coalesce("_last_cycle", "day")
    # null where one of them is
    letters = pl.concat_str(
        "REGIMEN_MOD_DOSE_REDUCTION", "REGIMEN_MOD_TIME_DELAY", "REGIMEN_MOD_STOPPED_EARLY"
    )
    return rows.with_columns(
        pl.min_horizontal(pl.max_horizontal(final.fill_null(earliest), earliest), "_until").alias(
            "day"
        ),
        pl.lit("SACT_END").alias("type"),
        pl.lit(OUTCOME).alias("_source"),
        pl.when(pl.col("REGIMEN_OUTCOME_SUMMARY").is_in(summaries))
        .then("REGIMEN_OUTCOME_SUMMARY")
        .otherwise(pl.lit(MISSING_OUTCOME))
        .alias("code"),
        pl.when(letters.str.contains("^[YN]{3}$")).then(letters).alias("modified"),
    )
