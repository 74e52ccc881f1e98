"""The registry's tables to one row per patient: the first tumour's facts, made coarser where the
declaration says so.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.adapters.frames import pairs, static_columns
from pipeline.adapters.simulacrum.names import (
    CHARLSON_MOST,
    ORIGIN,
    PATIENT,
    REGIMEN,
    ROUTE,
    SITE,
    TUMOUR,
)
from pipeline.schema import legality
from pipeline.schema.code_relations import categories, stage_group
from pipeline.schema.codes import tumour_sites
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Implication, Schema

FROM_TUMOUR = (
    "AGE",
    "QUINTILE_2019",
    "CREG_CODE",
    ORIGIN,
    SITE,
    "STAGE_BEST",
    "MORPH_ICD10_O2",
    "T_BEST",
    "N_BEST",
    "M_BEST",
    "GRADE",
    "LATERALITY",
    "ER_STATUS",
    "PR_STATUS",
    "HER2_STATUS",
    "GLEASON_PRIMARY",
    "GLEASON_SECONDARY",
    "CANCERCAREPLANINTENT",
    "PERFORMANCESTATUS",
    "CHRL_TOT_27_03",
)
Tables = Mapping[str, pl.DataFrame]


def ranked_tumours(tables: Tables) -> pl.DataFrame:
    """Tumours with patient_id, `_row` in the source table and `_rank` by diagnosis within the
    patient, from 0.
    """
    rows = (
        tables[TUMOUR]
        .with_row_index("_row")
        .with_columns(pl.col("PATIENTID").alias(ID))
        .filter(pl.col(ORIGIN).is_not_null())
    )
    return rows.sort(ID, ORIGIN, "TUMOURID", "_row").with_columns(
        pl.int_range(pl.len(), dtype=pl.Int32).over(ID).alias("_rank")
    )


def static_rows(schema: Schema, tables: Tables) -> pl.DataFrame:
    """patient_id and the static columns of every patient who has a tumour and an end of follow-up,
    by patient.
    """
    first = ranked_tumours(tables).filter(pl.col("_rank") == 0).select(ID, "TUMOURID", *FROM_TUMOUR)
    followed_up = (
        tables[PATIENT]
        .filter(pl.col("VITALSTATUSDATE").is_not_null())
        .select(pl.col("PATIENTID").alias(ID), "GENDER", "ETHNICITY")
    )
    rows = followed_up.join(first, on=ID).join(_bodies(tables), on=ID, how="left")
    if ROUTE in tables:
        rows = rows.join(
            tables[ROUTE]
            .select("TUMOURID", "FINAL_ROUTE")
            .unique("TUMOURID", keep="first", maintain_order=True),
            on="TUMOURID",
            how="left",
        )
    else:
        rows = rows.with_columns(pl.lit(None, pl.String).alias("FINAL_ROUTE"))
    return conform(schema, static_columns(schema, _coarser(rows)))


def _bodies(tables: Tables) -> pl.DataFrame:
    """Height and weight at the first regimen, by patient."""
    rows = (
        tables[REGIMEN]
        .sort(
            "ENCORE_PATIENT_ID", "START_DATE_OF_REGIMEN", "MERGED_REGIMEN_ID", maintain_order=True
        )
        .unique("ENCORE_PATIENT_ID", keep="first", maintain_order=True)
    )
    return rows.select(
        pl.col("ENCORE_PATIENT_ID").alias(ID),
        pl.col("HEIGHT_AT_START_OF_REGIMEN").alias("HEIGHT"),
        pl.col("WEIGHT_AT_START_OF_REGIMEN").alias("WEIGHT"),
    )


def _coarser(rows: pl.DataFrame) -> pl.DataFrame:
    """T, N and M without their letters, Charlson up to 8, and the groups of site and stage. A stage
    that is not legal at the site is missing.
    """
    groups = {code: site.group for code, site in tumour_sites.sites().items()}
    main = {"T_BEST": r"^(is|a$|[0-4X])", "N_BEST": r"^([0-3X])", "M_BEST": r"^([01X])"}
    stages = pairs(
        {code: (*site.stages, *site.unknown_stages) for code, site in tumour_sites.sites().items()},
        SITE,
        "STAGE_BEST",
    )
    rows = rows.join(
        stages.with_columns(pl.lit(True).alias("_legal")), on=[SITE, "STAGE_BEST"], how="left"
    )
    rows = rows.with_columns(
        pl.when("_legal").then("STAGE_BEST").alias("STAGE_BEST"),
        *(pl.col(name).str.extract(pattern, 1).alias(name) for name, pattern in main.items()),
        pl.col("CHRL_TOT_27_03")
        .cast(pl.Int64, strict=False)
        .clip(0, CHARLSON_MOST)
        .cast(pl.String)
        .alias("CHRL_TOT_27_03"),
        pl.col(SITE)
        .replace_strict(groups, default=None, return_dtype=pl.String)
        .alias("SITE_GROUP"),
    )
    by_stage = {stage: stage_group(stage) for stage in categories("stages")}
    return rows.with_columns(
        pl.col("STAGE_BEST")
        .replace_strict(by_stage, default="unknown", return_dtype=pl.String)
        .alias("STAGE_GROUP")
    )


def conform(schema: Schema, patients: pl.DataFrame) -> pl.DataFrame:
    """Static rows that hold declared and implied values only: what is neither is missing, or where
    it may not be, the first legal value.
    """
    for name, column in schema.patients.items():
        if column.categories:
            patients = patients.with_columns(
                pl.when(pl.col(name).is_in(column.categories)).then(pl.col(name)).alias(name)
            )
        elif column.lower is not None and column.upper is not None:
            value = pl.col(name)
            patients = patients.with_columns(
                value.clip(
                    pl.lit(int(column.lower)).cast(pl.Date), pl.lit(int(column.upper)).cast(pl.Date)
                )
                if column.kind == "date"
                else value.clip(column.lower, column.upper)
            )
    for implication in schema.implications:
        patients = _imply(patients, implication)
    return patients


def _imply(patients: pl.DataFrame, implication: Implication) -> pl.DataFrame:
    instead = {
        value: None if None in options else options[0]
        for value, options in implication.allowed.items()
        if options
    }
    fallback = pl.col(implication.given).replace_strict(
        instead, default=None, return_dtype=pl.String
    )
    return patients.with_columns(
        pl.when(legality.breaches(implication))
        .then(fallback)
        .otherwise(pl.col(implication.then))
        .alias(implication.then)
    )
