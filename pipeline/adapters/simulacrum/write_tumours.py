"""SIM_AV_TUMOUR: the first tumour from the static columns, a later one from its NEW_TUMOUR event
and the public code lists.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from pipeline.adapters.simulacrum.code_tables import main_stages, sites
from pipeline.adapters.simulacrum.key_numbers import (
    nth_patient,
    patient_number,
    tumour_number,
)
from pipeline.adapters.simulacrum.names import (
    BEFORE_DIAGNOSIS_DAYS,
    CHARLSON_GROUPS,
    CHARLSON_MOST,
    ORIGIN,
    SITE,
    TUMOURS_PER_PATIENT,
)
from pipeline.schema.patient_log import ID

OLDEST_AT_DIAGNOSIS, OLDEST_AT_END = 105, 110  # years
UNKNOWN_STAGES = ("?", "U", "X")
SHORT_ANSWER_EVERY = 10
M_OF_STAGE = {  # site group and stage -> M
    "Lung 4A": "1a",
    "Lung 4B": "1c",
    **{
        f"{group} {stage}": m
        for group in ("Colon", "Rectum")
        for stage, m in (("4A", "1a"), ("4B", "1b"))
    },
}
FIRST_ONLY = (
    "T_BEST",
    "N_BEST",
    "M_BEST",
    "ER_STATUS",
    "PR_STATUS",
    "HER2_STATUS",
    "GLEASON_PRIMARY",
    "GLEASON_SECONDARY",
    "CANCERCAREPLANINTENT",
    "PERFORMANCESTATUS",
    "FINAL_ROUTE",
)


def tumours(
    patients: pl.DataFrame, dated: pl.DataFrame, ends: pl.DataFrame, last_diagnosis: float | None
) -> pl.DataFrame:
    """One row per tumour with patient_id and `position` from 1. A new tumour after the last year of
    registration has no row.
    """
    new = _new(dated, last_diagnosis)
    patients = _not_too_old(patients, new, ends)
    first = patients.with_columns(pl.lit(1, pl.Int64).alias("position"))
    rows = pl.concat([first, _later(patients, new)], how="diagonal_relaxed").sort(ID, "position")
    rows = rows.join(sites(), on=SITE, how="left", maintain_order="left")
    staged = pl.col("STAGE_BEST").is_not_null() & ~pl.col("STAGE_BEST").is_in(UNKNOWN_STAGES)
    code4 = pl.when(staged).then("code4_staged").otherwise("code4")
    icdo3 = pl.when(staged).then("icdo3_staged").otherwise("icdo3")
    behaviour = pl.when(pl.col("STAGE_BEST") == "0").then(pl.lit("2")).otherwise("behaviour")
    system = pl.when(staged).then(
        pl.when(pl.col(ORIGIN) >= date(2018, 1, 1)).then("system_2018").otherwise("system")
    )
    primary, secondary = pl.col("GLEASON_PRIMARY"), pl.col("GLEASON_SECONDARY")
    both = primary.is_not_null() & secondary.is_not_null()
    rows = rows.with_columns(
        tumour_number(pl.col("position")).alias("TUMOURID"),
        patient_number().alias("PATIENTID"),
        code4.alias("SITE_ICD10_O2"),
        code4.alias("SITE_ICD10R4_O2_FROM2013"),
        pl.col(SITE).alias("SITE_ICD10R4_O2_3CHAR_FROM2013"),
        icdo3.alias("SITE_ICDO3REV2011"),
        pl.col("icdo3_3").alias("SITE_ICDO3REV2011_3CHAR"),
        pl.col("MORPH_ICD10_O2").alias("MORPH_ICDO3REV2011"),
        behaviour.alias("BEHAVIOUR_ICD10_O2"),
        behaviour.alias("BEHAVIOUR_ICDO3REV2011"),
        system.alias("STAGE_BEST_SYSTEM"),
        _screening().alias("SCREENINGSTATUSFULL_CODE"),
        _with_letter("T_BEST").alias("T_BEST"),
        _with_letter("M_BEST").alias("M_BEST"),
        pl.concat_str("CHRL_TOT_27_03", nth_patient() % len(CHARLSON_GROUPS), separator=" ")
        .replace_strict(_comorbidities(), default=None, return_dtype=pl.String)
        .alias("COMORBIDITIES_27_03"),
        pl.when(both).then(primary).alias("GLEASON_PRIMARY"),
        pl.when(both).then(secondary).alias("GLEASON_SECONDARY"),
        (primary.cast(pl.Int64) + secondary.cast(pl.Int64)).alias("GLEASON_COMBINED"),
    )
    return rows.join(_surgery(rows, dated), on=[ID, "position"], how="left", maintain_order="left")


def _screening() -> pl.Expr:
    """Screen detected by the site's programme where the route says so; `Y` and, of tumours that
    were not found so, `N` for one patient in SHORT_ANSWER_EVERY, as in the real release.
    """
    is_short = nth_patient() % SHORT_ANSWER_EVERY == 0
    is_found = pl.col("FINAL_ROUTE") == "Screen detected"
    return (
        pl.when(is_found & is_short)
        .then(pl.lit("Y"))
        .when(is_found)
        .then("screened")
        .when(is_short & pl.col("screened").is_not_null())
        .then(pl.lit("N"))
    )


def _with_letter(column: str) -> pl.Expr:
    """T_BEST or M_BEST with the letter that the stage implies (TNM, 7th and 8th editions): FIGO's
    stages 1A to 3C say T, stages 4A and 4B of lung and bowel say M.
    """
    value, stage = pl.col(column), pl.col("STAGE_BEST")
    if column == "M_BEST":
        implied = pl.concat_str("SITE_GROUP", stage, separator=" ").replace_strict(
            M_OF_STAGE, default=None, return_dtype=pl.String
        )
        return pl.when(value == "1").then(pl.coalesce(implied, value)).otherwise(value)
    is_figo = pl.col("system").str.starts_with("FIGO").fill_null(False)
    lettered = stage.str.contains("^[1-3][ABC]$") & (value == stage.str.slice(0, 1))
    return (
        pl.when(is_figo & lettered.fill_null(False)).then(stage.str.to_lowercase()).otherwise(value)
    )


def _new(dated: pl.DataFrame, last_diagnosis: float | None) -> pl.DataFrame:
    """The registered NEW_TUMOUR events: patient_id, site, stage_group, `_at`, position from 2."""
    new = dated.filter(pl.col("type") == "NEW_TUMOUR").sort(ID, "seq")
    if last_diagnosis is not None:
        new = new.filter(pl.col("date").cast(pl.Int32) <= int(last_diagnosis))
    new = new.filter(pl.int_range(pl.len()).over(ID) < TUMOURS_PER_PATIENT - 1)
    position = (pl.int_range(pl.len(), dtype=pl.Int64).over(ID) + 2).alias("position")
    return new.select(
        ID,
        pl.col("code").alias(SITE),
        pl.col("new_stage").alias("stage_group"),
        pl.col("date").alias("_at"),
        position,
    )


def _not_too_old(patients: pl.DataFrame, new: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """AGE at most so high that the last diagnosis and the end of follow-up stay within the oldest
    legal ages (clinical rules 23 and 24).
    """
    last = new.group_by(ID).agg(pl.col("_at").max())
    rows = patients.join(last, on=ID, how="left", maintain_order="left").join(
        ends.select(ID, "end_date"), on=ID, how="left", maintain_order="left"
    )
    at_end = OLDEST_AT_END - (_years("end_date") + 1)
    at_diagnosis = OLDEST_AT_DIAGNOSIS - _years("_at").fill_null(0)
    age = pl.when(pl.col("AGE").is_not_null()).then(
        pl.min_horizontal("AGE", at_end, at_diagnosis).clip(0)
    )
    return rows.with_columns(age.alias("AGE")).drop("_at", "end_date")


def _years(until: str) -> pl.Expr:
    """Whole years from the first diagnosis to the date `until`."""
    return ((pl.col(until) - pl.col(ORIGIN)).dt.total_days() / 365.25).floor().cast(pl.Int64)


def _later(patients: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Later tumours: site and stage group of the event, the rest the first that is legal at the
    site; age, sex and place are the patient's.
    """
    of_tumour = (
        *FIRST_ONLY,
        SITE,
        "SITE_GROUP",
        "STAGE_GROUP",
        "STAGE_BEST",
        "MORPH_ICD10_O2",
        "GRADE",
        "LATERALITY",
    )
    rows = new.join(
        patients.select(name for name in patients.columns if name not in of_tumour), on=ID
    )
    rows = rows.join(main_stages(), on=[SITE, "stage_group"], how="left").join(
        sites().select(SITE, "morphology", "paired"), on=SITE, how="left"
    )
    rows = rows.with_columns(
        pl.col("stage").fill_null("?").alias("STAGE_BEST"),
        pl.col("morphology").alias("MORPH_ICD10_O2"),
        pl.lit("GX").alias("GRADE"),
        pl.lit("9").alias("LATERALITY"),
        (pl.col("AGE") + _years("_at")).alias("AGE"),
        pl.col("_at").alias(ORIGIN),
    )
    return rows.drop("_at", "stage", "stage_group", "morphology", "paired")


def _comorbidities() -> dict[str, str]:
    """ "total place" -> groups of weight 1 that sum to the Charlson total, from that place of the
    list on; nothing for 0.
    """
    groups = tuple(CHARLSON_GROUPS)
    return {
        f"{total} {place}": ",".join(sorted((groups[place:] + groups[:place])[:total]))
        for total in range(1, CHARLSON_MOST + 1)
        for place in range(len(groups))
    }


def _surgery(rows: pl.DataFrame, dated: pl.DataFrame) -> pl.DataFrame:
    """DATE_FIRST_SURGERY by tumour: an operation belongs to the tumour diagnosed last before it, or
    up to 31 days after it.
    """
    operations = (
        dated.filter(pl.col("type") == "SURGERY")
        .select(ID, "seq", "date", "decision_days")
        .sort("date")
    )
    opens = rows.select(
        ID,
        "position",
        ((pl.col(ORIGIN).cast(pl.Int32) - BEFORE_DIAGNOSIS_DAYS).cast(pl.Date)).alias("_from"),
    ).sort("_from", "position")
    owned = operations.join_asof(
        opens, left_on="date", right_on="_from", by=ID, strategy="backward", check_sortedness=False
    )
    owned = (
        owned.filter(pl.col("position").is_not_null())
        .sort(ID, "position", "date", "seq")
        .unique([ID, "position"], keep="first", maintain_order=True)
    )
    return owned.select(
        ID,
        "position",
        pl.col("date").alias("DATE_FIRST_SURGERY"),
        pl.col("decision_days").alias("surgery_decision_days"),
    )
