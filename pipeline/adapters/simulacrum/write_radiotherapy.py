"""The radiotherapy tables: one course per RADIOTHERAPY event, a weekday for every fraction, up to
the pathway's end, and at every attendance two or three exposures.
"""

from __future__ import annotations

import polars as pl

from pipeline.adapters.simulacrum.code_tables import schedules
from pipeline.adapters.simulacrum.key_numbers import (
    course_number,
    link_code,
    nth_patient,
    patient_number,
)
from pipeline.adapters.simulacrum.names import SITE
from pipeline.adapters.simulacrum.write_days import days_before
from pipeline.schema.codes import radiotherapy_schedules
from pipeline.schema.codes.radiotherapy_schedules import BRACHYTHERAPY, PALLIATIVE
from pipeline.schema.patient_log import ID

PHOTONS, SEALED_SOURCE = "T1", "Ir192"  # z_radiotherapybeamtype; the dictionary's RADIOISOTOPE
METASTASIS = "M"  # z_treatmentregion
ELECTIVE_DELAY = "D"  # z_radiotherapypriority
# 13,201,531 exposures at 5,843,642 attendances (registry_tables.md 1.1): every fourth patient has
# three at each, the others two
THREE_EXPOSURES_EVERY = 4
FIRST_MINUTE, MINUTES, MINUTES_BETWEEN = 8 * 60, 9 * 60, 3  # of a day of treatment


def courses(patients: pl.DataFrame, dated: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """One row per attendance with everything the four tables say but the exposures. A course
    without a weekday before the pathway's end has no row.
    """
    rows = _attendances(patients, dated, ends)
    decision = (pl.col("start").cast(pl.Int32) - days_before()).cast(pl.Date)
    is_brachy = pl.col("modality") == BRACHYTHERAPY
    return rows.select(
        ID,
        "course",
        "nth",
        "start",
        "finish",
        "modality",
        "decision_days",
        patient_number().alias("PATIENTID"),
        "RADIOTHERAPYEPISODEID",
        pl.format("{}.{}", patient_number(), pl.col("APPTDATE").dt.strftime("%Y%m%d")).alias(
            "ATTENDID"
        ),
        "APPTDATE",
        link_code().alias("LINKCODE"),
        pl.col("RADIOTHERAPYEPISODEID").alias("PRESCRIPTIONID"),
        decision.alias("DECISIONTOTREATDATE"),
        # the same day but for an elective delay (the v2.1 dictionary)
        pl.when(pl.col("rt_priority") == ELECTIVE_DELAY)
        .then((pl.col("start").cast(pl.Int32) - days_before() // 2).cast(pl.Date))
        .otherwise(decision)
        .alias("EARLIESTCLINAPPROPDATE"),
        pl.col("rt_priority").alias("RADIOTHERAPYPRIORITY"),
        pl.when(pl.col("kind") != PALLIATIVE).then("rt_intent").alias("RADIOTHERAPYINTENT"),
        pl.col("modality").alias("RTTREATMENTMODALITY"),
        pl.col("dose").alias("RTPRESCRIBEDDOSE"),
        pl.col("fractions").alias("RTPRESCRIBEDFRACTIONS"),
        (pl.col("dose") * pl.col("RTACTUALFRACTIONS") / pl.col("fractions"))
        .round(2)
        .alias("RTACTUALDOSE"),
        "RTACTUALFRACTIONS",
        pl.col("rt_region").alias("RTTREATMENTREGION"),
        _anatomical_site().alias("RTTREATMENTANATOMICALSITE"),
        pl.when(is_brachy).then(pl.lit(SEALED_SOURCE)).alias("RADIOISOTOPE"),
        pl.when(~is_brachy).then(pl.lit(PHOTONS)).alias("RADIOTHERAPYBEAMTYPE"),
        pl.when(~is_brachy).then(pl.lit(6.0)).alias("RADIOTHERAPYBEAMENERGY"),
    )


def _anatomical_site() -> pl.Expr:
    """Of the site group at the primary; at a metastasis, the patient's number chooses."""
    metastatic = radiotherapy_schedules.metastatic_anatomical_sites()
    chosen = (nth_patient() % len(metastatic)).replace_strict(
        dict(enumerate(metastatic)), return_dtype=pl.String
    )
    primary = pl.col("SITE_GROUP").replace_strict(
        radiotherapy_schedules.primary_anatomical_sites(), default=None, return_dtype=pl.String
    )
    return pl.when(pl.col("rt_region") == METASTASIS).then(chosen).otherwise(primary)


def _attendances(patients: pl.DataFrame, dated: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """One row per fraction on a weekday up to the pathway's end, with its course: number, schedule,
    first and last day.
    """
    events = (
        dated.filter(pl.col("type") == "RADIOTHERAPY")
        .sort(ID, "seq")
        .join(patients.select(ID, SITE, "SITE_GROUP"), on=ID, maintain_order="left")
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
        course_number(pl.col("course")).alias("RADIOTHERAPYEPISODEID"),
    )


def radiotherapy_tables(
    rows: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Episode, prescription, exposure and combined: the first two a row per attendance, the others
    one per exposure, each with its columns (shaped by the declaration).
    """
    exposures = _exposures(rows)
    return rows, rows, exposures, exposures


def _exposures(rows: pl.DataFrame) -> pl.DataFrame:
    """A row per exposure, with TIMEOFEXPOSURE: the same time of day in a course, give or take, and
    a few minutes from one to the next.
    """
    several = pl.when(nth_patient() % THREE_EXPOSURES_EVERY == 0).then(3).otherwise(2)
    times = pl.when(pl.col("modality") == BRACHYTHERAPY).then(1).otherwise(several)
    rows = rows.with_columns(pl.int_ranges(0, times).alias("_exposure")).explode("_exposure")
    usual = (nth_patient() * 37 + pl.col("course") * 101) % MINUTES
    minute = FIRST_MINUTE + usual + pl.col("nth") * 7 % 21 + pl.col("_exposure") * MINUTES_BETWEEN
    clock = pl.format(
        "{}:{}",
        (minute // 60).cast(pl.String).str.zfill(2),
        (minute % 60).cast(pl.String).str.zfill(2),
    )
    return rows.with_columns(clock.alias("TIMEOFEXPOSURE"))
