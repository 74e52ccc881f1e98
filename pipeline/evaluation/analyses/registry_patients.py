"""One row per registry patient with what epidemiologists ask for: survival, treatments in their
windows, first days, scores as numbers.

A treatment is a tumour's from 31 days before diagnosis to the window of its site, and only where
the patient has no other tumour within 548 days (the rules of the NDRS treatment flags). Skin cancer
other than melanoma (C44) and tumours in situ are left out, as in national statistics. The log
starts at the first tumour, so an earlier one within 548 days cannot be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

import polars as pl

from pipeline.evaluation.analyses.comparison import commonest
from pipeline.evaluation.analyses.survival import outcomes
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

BEFORE, OTHER_TUMOUR = -31, 548  # days
WINDOWS = {  # days from diagnosis, by site group; breast: radiotherapy 460
    "Breast": 365,
    "Prostate": 365,
    "Colon": 275,
    "Rectum": 275,
    "Ovary": 275,
    "Uterus": 275,
    "Cervix": 275,
    "Bladder": 275,
    "Head and neck": 275,
}
OTHER_WINDOW, BREAST_RADIOTHERAPY = 183, 460
TREATMENTS = {"resection": "SURGERY", "drugs": "SACT_REGIMEN", "radiotherapy": "RADIOTHERAPY"}
LABELS = {"resection": "Resection", "drugs": "Anti-cancer drugs", "radiotherapy": "Radiotherapy"}
NEEDS = (
    "SITE_GROUP",
    "STAGE_GROUP",
    "GENDER",
    "AGE",
    "DIAGNOSISDATEBEST",
    "DIAGNOSIS",
    "SURGERY",
    "SACT_REGIMEN",
    "RADIOTHERAPY",
    "DEATH",
)
ETHNIC_GROUPS = {  # first letter of the code (NDRS five groups); others are unknown
    **dict.fromkeys("0ABC", "White"),
    **dict.fromkeys("DEFG", "Mixed"),
    **dict.fromkeys("HJKLR", "Asian"),
    **dict.fromkeys("MNP", "Black"),
    **dict.fromkeys("8S", "Other"),
}
IN_SITU = "0"
N_SITES = 15  # that models tell apart
STAGES = ("1", "2", "3", "4")

_rows_by_log: WeakKeyDictionary[PatientLog, pl.DataFrame] = WeakKeyDictionary()


def registry_patients(schema: Schema, log: PatientLog) -> pl.DataFrame:
    """Made once for each log. All static columns; days, died; for each treatment its flag and first
    day (`resection`, `resection_day`); treated, treatment_day; is_single (no other tumour within
    548 days); numbers `age10`, `male`, `deprivation` (1 least to 5 most), `poor_performance`,
    `charlson`, `emergency`, `most_deprived`, `year`, `ethnic_group`; `all`, the same for everybody.
    """
    if log not in _rows_by_log:
        _rows_by_log[log] = _rows(schema, log)
    return _rows_by_log[log]


def _rows(schema: Schema, log: PatientLog) -> pl.DataFrame:
    rows = outcomes(schema, log)
    if "SITE_ICD10_O2_3CHAR" in rows.columns:
        rows = rows.filter(pl.col("SITE_ICD10_O2_3CHAR").ne_missing("C44"))
    else:
        rows = rows.filter(pl.col("SITE_GROUP").ne_missing("Skin"))
    rows = rows.filter(pl.col("STAGE_GROUP").ne_missing(IN_SITU))
    return _with_numbers(_with_treatments(rows, log.pathways))


def _with_treatments(rows: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    kinds = [*TREATMENTS.values(), "NEW_TUMOUR"]
    days = (
        events.filter(pl.col("type").is_in(kinds))
        .join(rows.select(ID, "SITE_GROUP"), on=ID)
        .with_columns(
            window=pl.when(pl.col("SITE_GROUP").eq("Breast") & pl.col("type").eq("RADIOTHERAPY"))
            .then(BREAST_RADIOTHERAPY)
            .otherwise(
                pl.col("SITE_GROUP").replace_strict(
                    WINDOWS, default=OTHER_WINDOW, return_dtype=pl.Int32
                )
            )
        )
    )
    inside = pl.col("day").is_between(pl.lit(BEFORE), pl.col("window"))
    firsts = days.group_by(ID).agg(
        pl.col("day").filter(pl.col("type") == "NEW_TUMOUR").min().alias("other_day"),
        *(
            pl.col("day").filter((pl.col("type") == kind) & inside).min().alias(f"{name}_day")
            for name, kind in TREATMENTS.items()
        ),
    )
    treatment_days = [pl.col(f"{name}_day") for name in TREATMENTS]
    return (
        rows.join(firsts, on=ID, how="left", maintain_order="left")
        .with_columns(
            treatment_day=pl.min_horizontal(treatment_days),
            is_single=pl.col("other_day").gt(OTHER_TUMOUR).fill_null(True),
            **{name: pl.col(f"{name}_day").is_not_null() for name in TREATMENTS},
        )
        .with_columns(treated=pl.col("treatment_day").is_not_null())
    )


def _with_numbers(rows: pl.DataFrame) -> pl.DataFrame:
    """Absent columns give none of the numbers."""
    is_emergency = pl.col("FINAL_ROUTE").eq("Emergency presentation").fill_null(False)
    numbers = {
        "AGE": {"age10": (pl.col("AGE").cast(pl.Float64) - 70) / 10},
        "GENDER": {"male": pl.col("GENDER").eq("1").cast(pl.Float64)},
        "QUINTILE_2019": {
            "deprivation": 6 - pl.col("QUINTILE_2019").str.head(1).cast(pl.Float64, strict=False),
            "most_deprived": pl.col("QUINTILE_2019").str.starts_with("1").cast(pl.Float64),
        },
        "PERFORMANCESTATUS": {
            # missing counts as not poor: the registry knows it for a third
            "poor_performance": pl.col("PERFORMANCESTATUS")
            .is_in(["2", "3", "4"])
            .fill_null(False)
            .cast(pl.Float64)
        },
        "CHRL_TOT_27_03": {
            "charlson": pl.col("CHRL_TOT_27_03").cast(pl.Float64, strict=False).clip(0, 3)
        },
        "FINAL_ROUTE": {
            "emergency": is_emergency.cast(pl.Float64),
            "is_emergency": is_emergency,
        },
        "DIAGNOSISDATEBEST": {"year": pl.col("DIAGNOSISDATEBEST").dt.year().cast(pl.Float64)},
        "ETHNICITY": {
            "ethnic_group": pl.col("ETHNICITY")
            .str.head(1)
            .replace_strict(ETHNIC_GROUPS, default=None, return_dtype=pl.String)
        },
        "STAGE_GROUP": {
            "stage_unknown": (~pl.col("STAGE_GROUP").is_in(STAGES))
            .fill_null(True)
            .cast(pl.Float64),
            **{
                f"stage{stage}": pl.col("STAGE_GROUP").eq(stage).fill_null(False).cast(pl.Float64)
                for stage in STAGES[1:]
            },
        },
    }
    columns = {
        name: column
        for source, derived in numbers.items()
        if source in rows.columns
        for name, column in derived.items()
    }
    return rows.with_columns(**columns, all=pl.lit("All sites"))


def site_terms(real: pl.DataFrame) -> dict[str, str]:
    """Terms of a model by site: the commonest sites but the first, which is the base with the
    rest.
    """
    return {f"site {site}": site for site in commonest(real, "SITE_GROUP", N_SITES)[1:]}


def with_site_terms(rows: pl.DataFrame, terms: Mapping[str, str]) -> pl.DataFrame:
    return rows.with_columns(
        pl.col("SITE_GROUP").eq(site).cast(pl.Float64).alias(term) for term, site in terms.items()
    )


def single(rows: pl.DataFrame) -> pl.DataFrame:
    """Patients whose treatments can be put to their tumour."""
    return rows.filter("is_single")
