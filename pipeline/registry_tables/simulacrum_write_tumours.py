"""SIM_AV_TUMOUR: the first tumour from the static columns, a later one from its NEW_TUMOUR event and the public code lists."""
from __future__ import annotations

from datetime import date

import polars as pl

from pipeline.registry_tables.frames import ID
from pipeline.registry_tables.simulacrum_names import (
    BEFORE_DIAGNOSIS_DAYS, CHARLSON_GROUPS, CHARLSON_MOST, ORIGIN, SITE, TUMOURS_PER_PATIENT, main_stages, sites,
)

OLDEST_DAYS = 110 * 365.25  # nobody is recorded as older at the end of follow-up
UNKNOWN_STAGES = ("6", "?", "U", "X")
FIRST_ONLY = ("T_BEST", "N_BEST", "M_BEST", "ER_STATUS", "PR_STATUS", "HER2_STATUS", "GLEASON_PRIMARY", "GLEASON_SECONDARY", "CANCERCAREPLANINTENT",
              "PERFORMANCESTATUS", "FINAL_ROUTE")


def tumours(patients: pl.DataFrame, dated: pl.DataFrame, ends: pl.DataFrame, last_diagnosis: float | None) -> pl.DataFrame:
    """One row per tumour with patient_id and `position` from 1. A new tumour after the last year of registration has no row."""
    first = patients.with_columns(pl.lit(1, pl.Int64).alias("position"))
    later = _later(patients, dated, last_diagnosis)
    rows = pl.concat([first, later], how="diagonal_relaxed").sort(ID, "position").join(ends.select(ID, "end_date"), on=ID)
    rows = rows.join(sites(), on=SITE, how="left", maintain_order="left")
    staged = pl.col("STAGE_BEST").is_not_null() & ~pl.col("STAGE_BEST").is_in(UNKNOWN_STAGES)
    code4 = pl.when(staged).then("code4_staged").otherwise("code4")
    icdo3 = pl.when(staged).then("icdo3_staged").otherwise("icdo3")
    behaviour = pl.when(pl.col("STAGE_BEST") == "0").then(pl.lit("2")).otherwise("behaviour")
    system = pl.when(staged).then(pl.when(pl.col(ORIGIN) >= date(2018, 1, 1)).then("system_2018").otherwise("system"))
    elapsed = (pl.col("end_date") - pl.col(ORIGIN)).dt.total_days()
    oldest = ((OLDEST_DAYS - elapsed) / 365.25).floor().cast(pl.Int64)
    primary, secondary = pl.col("GLEASON_PRIMARY"), pl.col("GLEASON_SECONDARY")
    both = primary.is_not_null() & secondary.is_not_null()
    rows = rows.with_columns(
        tumour_id().alias("TUMOURID"), pl.col(ID).alias("PATIENTID"), code4.alias("SITE_ICD10_O2"), code4.alias("SITE_ICD10R4_O2_FROM2013"),
        pl.col(SITE).alias("SITE_ICD10R4_O2_3CHAR_FROM2013"), icdo3.alias("SITE_ICDO3REV2011"), pl.col("icdo3_3").alias("SITE_ICDO3REV2011_3CHAR"),
        pl.col("MORPH_ICD10_O2").alias("MORPH_ICDO3REV2011"), behaviour.alias("BEHAVIOUR_ICD10_O2"), behaviour.alias("BEHAVIOUR_ICDO3REV2011"),
        pl.when(pl.col("AGE").is_not_null()).then(pl.min_horizontal("AGE", oldest)).alias("AGE"), system.alias("STAGE_BEST_SYSTEM"),
        pl.when(pl.col("FINAL_ROUTE") == "Screen detected").then("screened").alias("SCREENINGSTATUSFULL_CODE"),
        pl.col("CHRL_TOT_27_03").replace_strict(_comorbidities(), default=None, return_dtype=pl.String).alias("COMORBIDITIES_27_03"),
        pl.when(both).then(primary).alias("GLEASON_PRIMARY"), pl.when(both).then(secondary).alias("GLEASON_SECONDARY"),
        (primary.cast(pl.Int64) + secondary.cast(pl.Int64)).alias("GLEASON_COMBINED"))
    return rows.join(_surgery(rows, dated), on=[ID, "position"], how="left", maintain_order="left")


def tumour_id(position: str = "position") -> pl.Expr:
    return pl.col(ID) * 10 + pl.col(position)


def _later(patients: pl.DataFrame, dated: pl.DataFrame, last_diagnosis: float | None) -> pl.DataFrame:
    """Later tumours: site and stage group of the event, the rest the first that is legal at the site; age, sex and place are the patient's."""
    new = dated.filter(pl.col("type") == "NEW_TUMOUR").sort(ID, "seq")
    if last_diagnosis is not None:
        new = new.filter(pl.col("date").cast(pl.Int32) <= int(last_diagnosis))
    new = new.filter(pl.int_range(pl.len()).over(ID) < TUMOURS_PER_PATIENT - 1)
    new = new.select(ID, pl.col("code").alias(SITE), pl.col("new_stage").alias("stage_group"), pl.col("date").alias("_at"),
                     (pl.int_range(pl.len(), dtype=pl.Int64).over(ID) + 2).alias("position"))
    keep = [name for name in patients.columns if name not in (*FIRST_ONLY, SITE, "SITE_GROUP", "STAGE_GROUP", "STAGE_BEST", "MORPH_ICD10_O2", "GRADE", "LATERALITY")]
    rows = new.join(patients.select(keep), on=ID).join(main_stages(), on=[SITE, "stage_group"], how="left")
    rows = rows.join(sites().select(SITE, "morphology", "paired"), on=SITE, how="left")
    years = ((pl.col("_at") - pl.col(ORIGIN)).dt.total_days() / 365.25).floor().cast(pl.Int64)
    rows = rows.with_columns(
        pl.col("stage").fill_null("?").alias("STAGE_BEST"), pl.col("morphology").alias("MORPH_ICD10_O2"), pl.lit("GX").alias("GRADE"),
        pl.when("paired").then(pl.lit("9")).otherwise(pl.lit("8")).alias("LATERALITY"), pl.min_horizontal(pl.col("AGE") + years, pl.lit(105)).alias("AGE"),
        pl.col("_at").alias(ORIGIN))
    return rows.drop("_at", "stage", "stage_group", "morphology", "paired")


def _comorbidities() -> dict[str, str]:
    """Charlson total -> groups of weight 1 that sum to it; nothing for 0."""
    return {str(total): ",".join(sorted(CHARLSON_GROUPS[:total])) for total in range(1, CHARLSON_MOST + 1)}


def _surgery(rows: pl.DataFrame, dated: pl.DataFrame) -> pl.DataFrame:
    """DATE_FIRST_SURGERY by tumour: an operation belongs to the tumour diagnosed last before it, or up to 31 days after it."""
    operations = dated.filter(pl.col("type") == "SURGERY").select(ID, "date", "decision_days").sort("date")
    opens = rows.select(ID, "position", ((pl.col(ORIGIN).cast(pl.Int32) - BEFORE_DIAGNOSIS_DAYS).cast(pl.Date)).alias("_from")).sort("_from", "position")
    owned = operations.join_asof(opens, left_on="date", right_on="_from", by=ID, strategy="backward", check_sortedness=False)
    owned = owned.filter(pl.col("position").is_not_null()).sort(ID, "position", "date").unique([ID, "position"], keep="first", maintain_order=True)
    return owned.select(ID, "position", pl.col("date").alias("DATE_FIRST_SURGERY"), pl.col("decision_days").alias("surgery_decision_days"))


