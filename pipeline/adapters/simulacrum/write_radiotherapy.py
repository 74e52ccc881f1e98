"""The radiotherapy tables: one course per RADIOTHERAPY event, a weekday for every fraction, up to
the pathway's end.
"""

from __future__ import annotations

import polars as pl

from pipeline.adapters.simulacrum.code_tables import schedules
from pipeline.adapters.simulacrum.names import SITE
from pipeline.adapters.simulacrum.write_days import days_before
from pipeline.schema.patient_log import ID

KEYS = ("PATIENTID", "RADIOTHERAPYEPISODEID", "ATTENDID", "APPTDATE", "LINKCODE")
BRACHYTHERAPY = "06"


def courses(patients: pl.DataFrame, dated: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """One row per attendance with everything the four tables say. A course without a weekday before
    the pathway's end has no row.
    """
    rows = _attendances(patients, dated, ends)
    decision = (pl.col("start").cast(pl.Int32) - days_before()).cast(pl.Date)
    is_brachy = pl.col("modality") == BRACHYTHERAPY
    return rows.select(
        ID,
        "course",
        "start",
        "finish",
        "modality",
        "decision_days",
        pl.col(ID).alias("PATIENTID"),
        "RADIOTHERAPYEPISODEID",
        (pl.col("RADIOTHERAPYEPISODEID") * 1000 + pl.col("nth") + 1)
        .cast(pl.String)
        .alias("ATTENDID"),
        "APPTDATE",
        pl.col("RADIOTHERAPYEPISODEID").cast(pl.String).alias("LINKCODE"),
        pl.col("RADIOTHERAPYEPISODEID").alias("PRESCRIPTIONID"),
        decision.alias("DECISIONTOTREATDATE"),
        decision.alias("EARLIESTCLINAPPROPDATE"),
        pl.col("rt_priority").alias("RADIOTHERAPYPRIORITY"),
        pl.col("rt_intent").alias("RADIOTHERAPYINTENT"),
        pl.col("modality").alias("RTTREATMENTMODALITY"),
        pl.col("dose").alias("RTPRESCRIBEDDOSE"),
        pl.col("fractions").alias("RTPRESCRIBEDFRACTIONS"),
        (pl.col("dose") * pl.col("RTACTUALFRACTIONS") / pl.col("fractions"))
        .round(2)
        .alias("RTACTUALDOSE"),
        "RTACTUALFRACTIONS",
        pl.col("rt_region").alias("RTTREATMENTREGION"),
        pl.when(is_brachy).then(pl.lit("IR192")).alias("RADIOISOTOPE"),
        pl.when(is_brachy).then(pl.lit("9")).otherwise(pl.lit("1")).alias("RADIOTHERAPYBEAMTYPE"),
        pl.when(~is_brachy).then(pl.lit(6.0)).alias("RADIOTHERAPYBEAMENERGY"),
    )


def _attendances(patients: pl.DataFrame, dated: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """One row per fraction on a weekday up to the pathway's end, with its course: number, schedule,
    first and last day.
    """
    events = (
        dated.filter(pl.col("type") == "RADIOTHERAPY")
        .sort(ID, "seq")
        .join(patients.select(ID, SITE), on=ID, maintain_order="left")
        .join(schedules(), on=[SITE, "code"], how="inner", maintain_order="left")
        .join(ends.select(ID, "end_date"), on=ID, maintain_order="left")
    )
    events = events.with_columns(
        (pl.int_range(pl.len(), dtype=pl.Int64).over(ID) + 1).alias("course")
    )
    rows = events.with_columns(pl.int_ranges(0, "fractions").alias("nth")).explode("nth")
    rows = rows.with_columns(
        pl.col("date").dt.add_business_days("nth", roll="forward").alias("APPTDATE")
    ).filter(pl.col("APPTDATE") <= pl.col("end_date"))
    by = [ID, "course"]
    return rows.with_columns(
        pl.len().over(by).cast(pl.Int64).alias("RTACTUALFRACTIONS"),
        pl.col("APPTDATE").min().over(by).alias("start"),
        pl.col("APPTDATE").max().over(by).alias("finish"),
        (pl.col(ID) * 10 + pl.col("course")).alias("RADIOTHERAPYEPISODEID"),
    )


def radiotherapy_tables(
    rows: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Episode, prescription, exposure and combined: the same attendances, each with its columns
    (shaped by the declaration).
    """
    return rows, rows, rows, rows
