"""Names of the Simulacrum's tables, and small public tables of codes that both directions read."""

from __future__ import annotations

import polars as pl

PATIENT, TUMOUR, GENE = "sim_av_patient", "sim_av_tumour", "sim_av_gene"
REGIMEN, CYCLE, DRUG, OUTCOME = (
    "sim_sact_regimen",
    "sim_sact_cycle",
    "sim_sact_drug_detail",
    "sim_sact_outcome",
)
EPISODE, PRESCRIPTION, EXPOSURE, COMBINED = (
    "sim_rtds_episode",
    "sim_rtds_prescription",
    "sim_rtds_exposure",
    "sim_rtds_combined",
)
ROUTE, WAITING = "ext_route", "ext_cwt_pathway"

SITE = "SITE_ICD10_O2_3CHAR"
ORIGIN = "DIAGNOSISDATEBEST"
BEFORE_DIAGNOSIS_DAYS = 31  # NDRS: a treatment counts from 31 days before the diagnosis on
CYCLES_PER_REGIMEN = 30  # contribution cap, registry_tables.md 2.3
TUMOURS_PER_PATIENT = 3  # contribution cap, registry_tables.md 2.3
MISSING_OUTCOME = "missing"  # code of a SACT_END without a summary
DIED_OUTCOME, OTHER_OUTCOME = "3", "5"  # z_regimen_outcome_summary: death of patient, other
# Codes without a meaning that make a column text in the real release (z_regimen_outcome_summary,
# z_perf_status_start_of_cycle): a few of the missing cells bear them.
UNMAPPED_OUTCOMES, UNMAPPED_PERFORMANCE = ("A", "N"), ("*",)

# The cause of death as the models see it, and the common ICD-10 code that stands for the group
# where the tumour is not the cause.
CAUSE_CODES = {
    "other cancer": "C809",
    "circulatory": "I259",
    "respiratory": "J449",
    "dementia": "F03",
    "other": "R54",
}
# Bands of days from decision to treatment: first and last day.
DECISION_BANDS = {
    "0": (0, 0),
    "1-7": (1, 7),
    "8-14": (8, 14),
    "15-21": (15, 21),
    "22-31": (22, 31),
    "32-45": (32, 45),
    "46-62": (46, 62),
    "63-90": (63, 90),
    "91-180": (91, 180),
}
CHARLSON_MOST = 8  # the models see 8 or more as 8
# Charlson groups of weight 1 that a total is spelled out with, and the condition for which each
# stands on a death certificate (ICD-10).
CHARLSON_GROUPS = {
    "06": "J449",
    "09": "E149",
    "02": "I500",
    "04": "I64",
    "01": "I259",
    "15": "K746",
    "03": "I739",
    "07": "M069",
    "05": "F03",
    "08": "K279",
}


def decision_band(days: pl.Expr) -> pl.Expr:
    """Days from decision to treatment as their band; null outside 0 to 180."""
    band = pl.lit(None, pl.String)
    for name, (first, last) in DECISION_BANDS.items():
        band = pl.when(days.is_between(first, last)).then(pl.lit(name)).otherwise(band)
    return band


def cause_group(cause: pl.Expr, site: pl.Expr) -> pl.Expr:
    """The group of an underlying cause (ICD-10; the first where it is a list), given the first
    tumour's site.
    """
    first = cause.str.split(",").list.first().str.strip_chars()
    return (
        pl.when(first.is_null() | (first == ""))
        .then(pl.lit("unknown"))
        .when(first.str.slice(0, 3) == site)
        .then(pl.lit("tumour"))
        .when(first.str.contains(r"^(C|D[0-4])"))
        .then(pl.lit("other cancer"))
        .when(first.str.starts_with("I"))
        .then(pl.lit("circulatory"))
        .when(first.str.starts_with("J"))
        .then(pl.lit("respiratory"))
        .when(first.str.contains(r"^(F0|G30)"))
        .then(pl.lit("dementia"))
        .otherwise(pl.lit("other"))
    )
