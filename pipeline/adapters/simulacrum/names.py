"""Names of the Simulacrum's tables, and small public tables of codes that both directions read."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.schema import codes
from pipeline.schema.code_relations import relation, schedule_name, stage_group

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
# LINKNUMBER is another number than PATIENTID, as in the registry
LINK_NUMBERS_FROM = 900_000_000_000
MISSING_OUTCOME = "missing"  # code of a SACT_END without a summary

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
# Charlson groups of weight 1, in the order in which a total is spelled out.
CHARLSON_GROUPS = ("06", "02", "01", "03", "04", "05", "07", "08")


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


@cache
def schedules() -> pl.DataFrame:
    """Legal radiotherapy schedules: SITE, code, dose (Gy), fractions, modality; one row per site
    and code.
    """
    rows = [
        (site.code, schedule_name(s.dose, s.fractions), s.dose, s.fractions, s.modality)
        for site in codes.sites().values()
        for s in codes.radiotherapy()[site.group]
        if s.modality != "06" or site.brachytherapy
    ]
    frame = pl.DataFrame(
        rows,
        schema={
            SITE: pl.String,
            "code": pl.String,
            "dose": pl.Float64,
            "fractions": pl.Int64,
            "modality": pl.String,
        },
        orient="row",
    )
    return frame.unique([SITE, "code"], keep="first", maintain_order=True)


@cache
def sites() -> pl.DataFrame:
    """One row per site: its codes of four characters (staged or not), ICD-O-3 topographies, first
    behaviour, staging systems, screening status.
    """
    rows = []
    for site in codes.sites().values():
        plain, staged = _fourth(site.codes4), _fourth(site.staged_codes4 or site.codes4)
        systems = site.stage_systems
        rows.append(
            (
                site.code,
                plain,
                staged,
                site.icdo3,
                site.icdo3_of(plain),
                site.icdo3_of(staged),
                site.behaviours[0],
                next(iter(systems), None),
                (
                    "UICC 8"
                    if "UICC 8" in systems and systems[0].startswith("UICC")
                    else next(iter(systems), None)
                ),
                f"{site.screening}001" if site.screening else None,
                site.morphologies[0],
                site.paired,
            )
        )
    names = (
        SITE,
        "code4",
        "code4_staged",
        "icdo3_3",
        "icdo3",
        "icdo3_staged",
        "behaviour",
        "system",
        "system_2018",
        "screened",
        "morphology",
        "paired",
    )
    return pl.DataFrame(
        rows,
        schema={name: pl.Boolean if name == "paired" else pl.String for name in names},
        orient="row",
    )


def _fourth(legal: tuple[str, ...]) -> str:
    return next((code for code in legal if code.endswith("9") and len(code) == 4), legal[0])


@cache
def main_stages() -> pl.DataFrame:
    """SITE, stage_group, stage: the stage that stands for a group at a site. A group that the site
    has not is not listed.
    """
    rows = []
    for site, groups in relation("sites.stage_groups").items():
        for group in groups:
            legal = [
                stage
                for stage in relation("sites.stages")[site]
                if stage is not None and stage_group(stage) == group
            ]
            rows.append(
                (site, group, "?" if group == "unknown" else group if group in legal else legal[0])
            )
    return pl.DataFrame(
        rows, schema={SITE: pl.String, "stage_group": pl.String, "stage": pl.String}, orient="row"
    )
