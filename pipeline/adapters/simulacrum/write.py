"""Patients and pathways to the registry's tables by public rules, with fresh keys. A function of
each patient's own row and events.

Keys are the patient's number with a position behind it, so that partitions of patients never share
one.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from pipeline.adapters.frames import static_columns
from pipeline.adapters.simulacrum.names import (
    CAUSE_CODES,
    COMBINED,
    CYCLE,
    DRUG,
    EPISODE,
    EXPOSURE,
    GENE,
    LINK_NUMBERS_FROM,
    ORIGIN,
    OUTCOME,
    PATIENT,
    PRESCRIPTION,
    REGIMEN,
    ROUTE,
    TUMOUR,
    WAITING,
)
from pipeline.adapters.simulacrum.write_ext import routes, waiting_times
from pipeline.adapters.simulacrum.write_genes import genes
from pipeline.adapters.simulacrum.write_radiotherapy import courses, radiotherapy_tables
from pipeline.adapters.simulacrum.write_sact import sact_tables
from pipeline.adapters.simulacrum.write_tumours import tumours
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema


def rebuild(schema: Schema, log: PatientLog, extract_date: date | None) -> dict[str, pl.DataFrame]:
    """All tables, with at least their columns that are not carried. The log is legal by the
    grammar.
    """
    assert schema.events is not None
    ids = log.patients[ID]
    if ids.null_count() or not ids.dtype.is_integer():
        raise Refusal(
            f"{ID} of patients to rebuild must be a whole number, is {ids.dtype}. Number"
            " the patients from 1."
        )
    patients = static_columns(schema, log.patients)
    ends, dated = timeline(schema, patients, log.pathways, extract_date)
    last_diagnosis = schema.patients[ORIGIN].upper
    tumour_rows = tumours(patients, dated, ends, last_diagnosis)
    course_rows = courses(patients, dated, ends)
    regimens, cycles, drugs, outcomes = sact_tables(patients, dated, ends, course_rows)
    episodes, prescriptions, exposures, combined = radiotherapy_tables(course_rows)
    return {
        PATIENT: patient_rows(patients, ends, tumour_rows),
        TUMOUR: tumour_rows,
        GENE: genes(patients, dated),
        REGIMEN: regimens,
        CYCLE: cycles,
        DRUG: drugs,
        OUTCOME: outcomes,
        EPISODE: episodes,
        PRESCRIPTION: prescriptions,
        EXPOSURE: exposures,
        COMBINED: combined,
        ROUTE: routes(patients),
        WAITING: waiting_times(patients, dated, tumour_rows, regimens, course_rows),
    }


def timeline(
    schema: Schema, patients: pl.DataFrame, events: pl.DataFrame, extract_date: date | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The end of each pathway (patient_id, end_date, status, cause, death_location), and the events
    up to it with their dates (`date`).

    Observation stops at `extract_date`: who would end later is alive on it, and so is, on that very
    day, whoever is alive at all.
    """
    assert schema.events is not None
    dated = events.join(patients.select(ID, ORIGIN), on=ID, how="inner", maintain_order="left")
    dated = dated.with_columns(
        (pl.col(ORIGIN).cast(pl.Int32) + pl.col("day")).cast(pl.Date).alias("date")
    )
    ends = dated.filter(pl.col("type").is_in(schema.events.terminal)).unique(
        ID, keep="first", maintain_order=True
    )
    observed = pl.lit(extract_date, pl.Date)
    alive = (pl.col("type") == "CENSOR") & (pl.col("code") == "A")
    later = (
        (alive | (pl.col("date") > observed)).fill_null(False)
        if extract_date is not None
        else pl.lit(False)
    )
    ends = ends.select(
        ID,
        pl.when(later)
        .then(pl.max_horizontal(observed, ORIGIN))
        .otherwise("date")
        .alias("end_date"),
        pl.when(later | alive)
        .then(pl.lit("A"))
        .when(pl.col("type") == "DEATH")
        .then(pl.lit("D"))
        .otherwise(pl.lit("X"))
        .alias("status"),
        pl.when(pl.col("type") == "DEATH").then("code").alias("cause"),
        "death_location",
    )
    dated = dated.filter(~pl.col("type").is_in(schema.events.terminal)).join(
        ends.select(ID, "end_date"), on=ID, how="inner", maintain_order="left"
    )
    return ends, dated.filter(pl.col("date") <= pl.col("end_date")).drop(ORIGIN, "end_date")


def patient_rows(
    patients: pl.DataFrame, ends: pl.DataFrame, tumour_rows: pl.DataFrame
) -> pl.DataFrame:
    """SIM_AV_PATIENT. The underlying cause of a death from the tumour is the first tumour's site;
    of another, one common code of its group.
    """
    own = tumour_rows.filter(pl.col("position") == 1).select(
        ID, pl.col("SITE_ICD10_O2").alias("own_site")
    )
    rows = patients.join(ends, on=ID).join(own, on=ID, how="left")
    died = pl.col("status") == "D"
    cause = (
        pl.when(pl.col("cause") == "tumour")
        .then("own_site")
        .otherwise(
            pl.col("cause").replace_strict(CAUSE_CODES, default=None, return_dtype=pl.String)
        )
    )
    return rows.select(
        ID,
        pl.col(ID).alias("PATIENTID"),
        "GENDER",
        "ETHNICITY",
        pl.when(died).then(cause).alias("DEATHCAUSECODE_UNDERLYING"),
        pl.when(died).then(cause).alias("DEATHCAUSECODE_1A"),
        pl.when(died).then("death_location").alias("DEATHLOCATIONCODE"),
        pl.col("status").alias("VITALSTATUS"),
        pl.col("end_date").alias("VITALSTATUSDATE"),
        (pl.col(ID) + LINK_NUMBERS_FROM).alias("LINKNUMBER"),
    )
