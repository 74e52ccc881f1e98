"""Patients and pathways to the registry's tables by public rules, with fresh keys. A function of
each patient's own row and events.

Keys: key_numbers.py.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from pipeline.adapters.frames import static_columns
from pipeline.adapters.simulacrum.key_numbers import link_number, nth_patient, patient_number
from pipeline.adapters.simulacrum.names import (
    CAUSE_CODES,
    CHARLSON_GROUPS,
    COMBINED,
    CYCLE,
    DRUG,
    EPISODE,
    EXPOSURE,
    GENE,
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
from pipeline.schema.codes import radiotherapy_schedules
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

# Lines of a death certificate, ICD-10
BRONCHOPNEUMONIA, LIVER_METASTASIS = "J180", "C787"
DUE_BETWEEN, CHAIN_AT = (6, 8), 9  # of ten patients, by number
# groups of tumours that spread to the liver
SPREADING = ("Breast", "Lung", "Colon", "Rectum", "Melanoma", "Pancreas", "Stomach", "Oesophagus")


def rebuild(schema: Schema, log: PatientLog, extract_date: date | None) -> dict[str, pl.DataFrame]:
    """All tables, with at least their columns that are not carried. The log is legal by the
    grammar.
    """
    assert schema.events is not None
    _check_code_lists(schema)
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


def _check_code_lists(schema: Schema) -> None:
    """The rules below write today's public codes. Raises Refusal for a model whose declaration
    knows others.
    """
    column = "RTTREATMENTMODALITY"
    codes = schema.tables[PRESCRIPTION].columns[column].categories
    if radiotherapy_schedules.TELETHERAPY not in codes:
        raise Refusal(
            f"{schema.dataset} was declared with other code lists than the registry's own of today"
            f" ({column} knows {', '.join(codes)}). Draw from this model with the version of the"
            " code that made it: `code_version` on its card"
        )


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
        ID, pl.col("SITE_ICD10_O2").alias("own_site"), "COMORBIDITIES_27_03", "SITE_GROUP"
    )
    rows = patients.drop("SITE_GROUP").join(ends, on=ID).join(own, on=ID, how="left")
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
        patient_number().alias("PATIENTID"),
        "GENDER",
        "ETHNICITY",
        pl.when(died).then(cause).alias("DEATHCAUSECODE_UNDERLYING"),
        *(pl.when(died).then(line).alias(name) for name, line in certificate(cause).items()),
        pl.when(died).then("death_location").alias("DEATHLOCATIONCODE"),
        pl.col("status").alias("VITALSTATUS"),
        pl.col("end_date").alias("VITALSTATUSDATE"),
        link_number().alias("LINKNUMBER"),
    )


def certificate(cause: pl.Expr) -> dict[str, pl.Expr]:
    """The lines of a death certificate that end in this underlying cause: by the patient's number
    it alone, or bronchopneumonia due to it, or due to a metastasis due to it where the tumour is
    the cause and spreads so. Line 2 names the first comorbidity, where it is another.
    """
    chance, of_tumour = nth_patient() % 10, pl.col("cause") == "tumour"
    spreads = pl.col("SITE_GROUP").is_in(SPREADING) & pl.col("own_site").str.starts_with("C")
    chain = of_tumour & (chance == CHAIN_AT) & spreads
    due = (of_tumour & chance.is_between(*DUE_BETWEEN)) | chain
    other = (
        pl.col("COMORBIDITIES_27_03")
        .str.slice(0, 2)
        .replace_strict(CHARLSON_GROUPS, default=None, return_dtype=pl.String)
    )
    return {
        "DEATHCAUSECODE_1A": pl.when(due).then(pl.lit(BRONCHOPNEUMONIA)).otherwise(cause),
        "DEATHCAUSECODE_1B": pl.when(chain).then(pl.lit(LIVER_METASTASIS)).when(due).then(cause),
        "DEATHCAUSECODE_1C": pl.when(chain).then(cause),
        "DEATHCAUSECODE_2": pl.when(other != cause).then(other),
    }
