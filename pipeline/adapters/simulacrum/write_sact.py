"""The SACT tables: regimens, cycles, the drugs of each cycle and one outcome per regimen, from the
pathway and the public regimens.
"""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.adapters.simulacrum.key_numbers import (
    cycle_number,
    link_number,
    nth_patient,
    patient_number,
    regimen_number,
)
from pipeline.adapters.simulacrum.names import (
    CYCLES_PER_REGIMEN,
    DIED_OUTCOME,
    MISSING_OUTCOME,
    OTHER_OUTCOME,
    UNMAPPED_OUTCOMES,
    UNMAPPED_PERFORMANCE,
)
from pipeline.adapters.simulacrum.write_days import days_before
from pipeline.adapters.simulacrum.write_drugs import BY, drug_rows
from pipeline.schema.codes import drug_regimens
from pipeline.schema.patient_log import ID

# cycle 1 starts at most so long after the regimen (clinical rule 37)
FIRST_CYCLE_WITHIN_DAYS = 7
# the outcome `death of patient` needs a death so soon after the last treatment (clinical rule 43)
DIED_WITHIN_DAYS = 90
UNMAPPED_EVERY = 20


Sact = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]


def sact_tables(
    patients: pl.DataFrame, dated: pl.DataFrame, ends: pl.DataFrame, courses: pl.DataFrame
) -> Sact:
    """Regimens, cycles, drugs and outcomes."""
    events = dated.filter(pl.col("type").is_in(["SACT_REGIMEN", "SACT_CYCLE", "SACT_END"])).sort(
        ID, "seq"
    )
    events = events.with_columns(
        (pl.col("type") == "SACT_REGIMEN").cast(pl.Int64).cum_sum().over(ID).alias("line")
    ).filter(pl.col("line") > 0)
    regimens = _regimens(events, patients, courses)
    closes = events.filter(pl.col("type") == "SACT_END").unique(
        BY, keep="first", maintain_order=True
    )
    cycles = _cycles(events, regimens)
    drugs = drug_rows(cycles, regimens, closes, patients, ends)
    return regimens, cycles, drugs, _outcomes(regimens, cycles, closes, ends)


def _regimens(events: pl.DataFrame, patients: pl.DataFrame, courses: pl.DataFrame) -> pl.DataFrame:
    rows = events.filter(pl.col("type") == "SACT_REGIMEN").with_columns(
        pl.col("date").alias("start")
    )
    rows = rows.join(
        patients.select(ID, "GENDER", "HEIGHT", "WEIGHT"), on=ID, maintain_order="left"
    ).join(_public(), on="code", how="inner", maintain_order="left")
    last = events.group_by(BY).agg(pl.col("date").max().alias("_last"))
    rows = rows.join(last, on=BY, maintain_order="left").join(
        _with_radiotherapy(rows.join(last, on=BY), courses),
        on=BY,
        how="left",
        maintain_order="left",
    )
    together = pl.col("chemo_radiation") & pl.col("_overlaps").fill_null(False)
    return rows.select(
        ID,
        "line",
        "code",
        "start",
        "decision_days",
        "planned_cycles",
        "OPCS_PROCUREMENT_CODE",
        patient_number().alias("ENCORE_PATIENT_ID"),
        regimen_number(pl.col("line")).alias("MERGED_REGIMEN_ID"),
        pl.col("HEIGHT").alias("HEIGHT_AT_START_OF_REGIMEN"),
        pl.col("WEIGHT").alias("WEIGHT_AT_START_OF_REGIMEN"),
        pl.col("intent").alias("INTENT_OF_TREATMENT"),
        (pl.col("start").cast(pl.Int32) - days_before())
        .cast(pl.Date)
        .alias("DATE_DECISION_TO_TREAT"),
        pl.col("start").alias("START_DATE_OF_REGIMEN"),
        pl.col("code").alias("MAPPED_REGIMEN"),
        pl.col("clinical_trial").alias("CLINICAL_TRIAL"),
        pl.when(together).then(pl.lit("Y")).otherwise(pl.lit("N")).alias("CHEMO_RADIATION"),
        "BENCHMARK_GROUP",
        link_number().alias("LINK_NUMBER"),
    )


def _with_radiotherapy(regimens: pl.DataFrame, courses: pl.DataFrame) -> pl.DataFrame:
    """Regimens with a course of radiotherapy between 14 days before their start and 14 days after
    their last event.
    """
    spans = courses.select(ID, pl.col("start").alias("_rt_start"), "finish").unique()
    both = regimens.filter("chemo_radiation").join(spans, on=ID)
    near = both.filter(
        (pl.col("_rt_start") <= pl.col("_last") + pl.duration(days=14))
        & (pl.col("finish") >= pl.col("start") - pl.duration(days=14))
    )
    return near.select(*BY, pl.lit(True).alias("_overlaps")).unique(BY)


def _cycles(events: pl.DataFrame, regimens: pl.DataFrame) -> pl.DataFrame:
    """Cycles on different days, numbered from 1. Where the first comes late or not at all, one is
    given at the regimen's start.
    """
    cycles = events.filter(pl.col("type") == "SACT_CYCLE").select(
        *BY,
        "seq",
        "date",
        pl.coalesce("cycle_performance", _unmapped(UNMAPPED_PERFORMANCE)).alias(
            "PERF_STATUS_START_OF_CYCLE"
        ),
    )
    first = cycles.group_by(BY).agg(pl.col("date").min().alias("_first"))
    late = regimens.join(first, on=BY, how="left").filter(
        pl.col("_first").is_null()
        | ((pl.col("_first") - pl.col("start")).dt.total_days() > FIRST_CYCLE_WITHIN_DAYS)
    )
    rows = pl.concat([cycles, late.select(*BY, pl.col("start").alias("date"))], how="diagonal")
    rows = (
        rows.join(
            regimens.select(
                *BY, "code", "planned_cycles", "MERGED_REGIMEN_ID", "OPCS_PROCUREMENT_CODE"
            ),
            on=BY,
        )
        .sort(*BY, "date", "seq")
        .unique([*BY, "date"], keep="first", maintain_order=True)
    )
    rows = rows.with_columns(
        (pl.int_range(pl.len(), dtype=pl.Int64).over(BY) + 1).alias("CYCLE_NUMBER")
    ).filter(pl.col("CYCLE_NUMBER") <= CYCLES_PER_REGIMEN)
    return rows.with_columns(
        cycle_number(pl.col("line"), pl.col("CYCLE_NUMBER")).alias("MERGED_CYCLE_ID"),
        pl.col("date").alias("START_DATE_OF_CYCLE"),
        pl.col("date").shift(-1).over(BY).alias("_next"),
    )


def _outcomes(
    regimens: pl.DataFrame, cycles: pl.DataFrame, closes: pl.DataFrame, ends: pl.DataFrame
) -> pl.DataFrame:
    """One per regimen. `Death of patient` stays only where there was one within 90 days, and is
    `other` else. Of the missing summaries one in UNMAPPED_EVERY bears a letter, as in the real
    release: the column is text there, and so it is here.
    """
    last = cycles.group_by(BY).agg(pl.col("date").max().alias("_last_cycle"))
    rows = (
        regimens.select(*BY, "MERGED_REGIMEN_ID")
        .join(last, on=BY, maintain_order="left")
        .join(
            closes.select(*BY, "code", "modified", "date"), on=BY, how="left", maintain_order="left"
        )
        .join(ends.select(ID, "end_date", "status"), on=ID, maintain_order="left")
    )
    final = pl.max_horizontal("date", "_last_cycle")
    died = (pl.col("status") == "D") & (
        (pl.col("end_date") - final).dt.total_days() <= DIED_WITHIN_DAYS
    )
    summary = (
        pl.when(pl.col("code").is_null() | (pl.col("code") == MISSING_OUTCOME))
        .then(_unmapped(UNMAPPED_OUTCOMES))
        .when((pl.col("code") == DIED_OUTCOME) & ~died)
        .then(pl.lit(OTHER_OUTCOME))
        .otherwise("code")
    )
    letters = {
        name: pl.col("modified").str.slice(at, 1)
        for at, name in enumerate(
            ("REGIMEN_MOD_DOSE_REDUCTION", "REGIMEN_MOD_TIME_DELAY", "REGIMEN_MOD_STOPPED_EARLY")
        )
    }
    return rows.select(
        ID,
        "MERGED_REGIMEN_ID",
        final.alias("DATE_OF_FINAL_TREATMENT"),
        summary.alias("REGIMEN_OUTCOME_SUMMARY"),
        *(letter.alias(name) for name, letter in letters.items()),
    )


def _unmapped(codes: tuple[str, ...]) -> pl.Expr:
    """One of these codes where the patient's number says so, missing else."""
    place = (nth_patient() + pl.col("line")) % UNMAPPED_EVERY
    return place.replace_strict(dict(enumerate(codes)), default=None, return_dtype=pl.String)


@cache
def _public() -> pl.DataFrame:
    rows = [
        (
            name,
            regimen.benchmark_group,
            regimen.chemo_radiation,
            regimen.cycles,
            drug_regimens.procurement_codes()[name],
        )
        for name, regimen in drug_regimens.regimens().items()
    ]
    return pl.DataFrame(
        rows,
        schema={
            "code": pl.String,
            "BENCHMARK_GROUP": pl.String,
            "chemo_radiation": pl.Boolean,
            "planned_cycles": pl.Int64,
            "OPCS_PROCUREMENT_CODE": pl.String,
        },
        orient="row",
    )
