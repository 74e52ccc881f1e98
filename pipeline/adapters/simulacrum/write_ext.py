"""ext_route and ext_cwt_pathway: the route of the first tumour, and its way from referral to the
first treatment.
"""

from __future__ import annotations

import polars as pl

from pipeline.adapters.simulacrum.key_numbers import patient_number, tumour_number
from pipeline.adapters.simulacrum.names import BEFORE_DIAGNOSIS_DAYS, ORIGIN
from pipeline.adapters.simulacrum.write_days import FIRST_DATE, days_before
from pipeline.schema.patient_log import ID


def routes(patients: pl.DataFrame) -> pl.DataFrame:
    return patients.filter(pl.col("FINAL_ROUTE").is_not_null()).select(
        ID, tumour_number(pl.lit(1)).alias("TUMOURID"), "FINAL_ROUTE"
    )


def waiting_times(
    patients: pl.DataFrame,
    dated: pl.DataFrame,
    tumours: pl.DataFrame,
    regimens: pl.DataFrame,
    courses: pl.DataFrame,
) -> pl.DataFrame:
    """One row per patient with a referral. The first treatment: the earliest surgery, drugs or
    radiotherapy from 31 days before diagnosis on.
    """
    referred = dated.filter(pl.col("type") == "REFERRAL").unique(
        ID, keep="first", maintain_order=True
    )
    first_appointments = (
        dated.filter(pl.col("type") == "FIRST_SEEN")
        .unique(ID, keep="first", maintain_order=True)
        .select(ID, pl.col("date").alias("_seen"))
    )
    rows = referred.select(
        ID, pl.col("code").alias("REFERRAL_TYPE"), pl.col("date").alias("_referred")
    )
    rows = rows.join(first_appointments, on=ID, how="left", maintain_order="left").join(
        _first_treatment(patients, tumours, regimens, courses),
        on=ID,
        how="left",
        maintain_order="left",
    )
    # a treatment before the referral is not what the patient waited for
    rows = rows.with_columns(
        pl.when(pl.col("start") >= pl.col("_referred")).then(name).alias(name)
        for name in ("start", "modality", "decision_days")
    )
    floor = pl.lit(FIRST_DATE, pl.Int32).cast(pl.Date)
    return rows.select(
        ID,
        patient_number().alias("PATIENTID"),
        tumour_number(pl.lit(1)).alias("TUMOURID"),
        pl.max_horizontal("_referred", floor).alias("CRTP_DATE"),
        "REFERRAL_TYPE",
        pl.when(pl.col("_seen").is_not_null())
        .then(pl.max_horizontal("_seen", floor))
        .alias("DATE_FIRST_SEEN"),
        _decision().alias("DECISION_TO_TREAT_DATE"),
        pl.col("start").alias("TREATMENT_START_DATE"),
        pl.col("modality").alias("TREATMENT_MODALITY"),
        pl.when(pl.col("start").is_not_null()).then(pl.lit("01")).alias("EVENT_TYPE"),
    )


def _decision() -> pl.Expr:
    """The day of the decision, not before the first appointment where that is in time."""
    decision = (pl.col("start").cast(pl.Int32) - days_before()).cast(pl.Date)
    is_seen_in_time = pl.col("_seen") <= pl.col("start")
    return (
        pl.when(decision.is_not_null() & is_seen_in_time)
        .then(pl.max_horizontal(decision, "_seen"))
        .otherwise(decision)
    )


def _first_treatment(
    patients: pl.DataFrame, tumours: pl.DataFrame, regimens: pl.DataFrame, courses: pl.DataFrame
) -> pl.DataFrame:
    surgery = tumours.filter(
        (pl.col("position") == 1) & pl.col("DATE_FIRST_SURGERY").is_not_null()
    ).select(
        ID,
        pl.col("DATE_FIRST_SURGERY").alias("start"),
        pl.lit("01").alias("modality"),
        pl.col("surgery_decision_days").alias("decision_days"),
    )
    drugs = regimens.select(
        ID,
        pl.col("START_DATE_OF_REGIMEN").alias("start"),
        pl.when(pl.col("CHEMO_RADIATION") == "Y")
        .then(pl.lit("04"))
        .otherwise(pl.lit("02"))
        .alias("modality"),
        "decision_days",
    )
    rays = courses.unique([ID, "course"], keep="first", maintain_order=True).select(
        # the waiting times' codes 05 and 06 are the radiotherapy tables' 5 and 6
        ID,
        "start",
        (pl.lit("0") + pl.col("modality")).alias("modality"),
        "decision_days",
    )
    every = pl.concat([surgery, drugs, rays]).join(patients.select(ID, ORIGIN), on=ID)
    every = every.filter(
        (pl.col("start") - pl.col(ORIGIN)).dt.total_days() >= -BEFORE_DIAGNOSIS_DAYS
    )
    return (
        every.sort(ID, "start", "modality", "decision_days")
        .unique(ID, keep="first", maintain_order=True)
        .drop(ORIGIN)
    )
