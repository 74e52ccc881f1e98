"""Clinical rules 46 to 51: radiotherapy episodes, prescriptions and exposures."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.checks.rules.model import (
    Finding,
    Rule,
    RuleContext,
    failing,
    rows_where,
    share,
    together,
)
from pipeline.checks.rules.registry import (
    CYCLE,
    EPISODE,
    EXPOSURE,
    PRESCRIPTION,
    REGIMEN,
    TUMOUR,
    Registry,
    number,
    text,
)
from pipeline.schema import codes
from pipeline.schema.patient_log import ID

EPISODE_ID = "RADIOTHERAPYEPISODEID"
PRESCRIBED = ("RTPRESCRIBEDDOSE", "RTPRESCRIBEDFRACTIONS", "RTACTUALDOSE", "RTACTUALFRACTIONS")
# Gy around a schedule of datasets/codes/radiotherapy.yaml, whose bands are that wide
DOSE_TOLERANCE = 1.0
PHOTON, BRACHYTHERAPY = "1", "06"


def decided_before_first_attendance(registry: Registry, context: RuleContext) -> Finding:
    first = pl.col("APPTDATE").min().over(ID, EPISODE_ID)
    late = [
        (pl.col(column) > first).fill_null(False)
        for column in ("DECISIONTOTREATDATE", "EARLIESTCLINAPPROPDATE")
    ]
    return rows_where(registry[EPISODE], late[0] | late[1])


def attendances_are_fractions(registry: Registry, context: RuleContext) -> Finding:
    """One date per attendance, and as many attendances as actual fractions, give or take one, where
    the episode has one prescription.
    """
    episodes = (
        registry[EPISODE]
        .group_by(ID, EPISODE_ID)
        .agg(
            pl.len().alias("n"),
            pl.col("APPTDATE").n_unique().alias("days"),
            pl.col("ATTENDID").n_unique().alias("attendances"),
        )
    )
    found = [rows_where(episodes, pl.col("days") < pl.col("n"))]
    if registry.has(PRESCRIPTION, [EPISODE_ID, "PRESCRIPTIONID", "RTACTUALFRACTIONS"]):
        planned = (
            registry[PRESCRIPTION]
            .group_by(ID, EPISODE_ID)
            .agg(
                pl.col("PRESCRIPTIONID").n_unique().alias("prescriptions"),
                number("RTACTUALFRACTIONS").max().alias("fractions"),
            )
        )
        single = episodes.join(planned.filter(pl.col("prescriptions") == 1), on=[ID, EPISODE_ID])
        found.append(rows_where(single, (pl.col("attendances") - pl.col("fractions")).abs() > 1))
    return together(*found)


def attendances_on_weekdays(registry: Registry, context: RuleContext) -> Finding:
    days = registry[EPISODE]["APPTDATE"].drop_nulls()
    return share(int((days.dt.weekday() <= 5).sum()), days.len())


def doses_are_possible(registry: Registry, context: RuleContext) -> Finding:
    dose, fractions, actual, given = (number(column) for column in PRESCRIBED)
    more = (actual > dose * 1.05).fill_null(False) | (given > fractions).fill_null(False)
    per_fraction = (~(dose / fractions).is_between(0.5, 30)).fill_null(False)
    return rows_where(
        registry[PRESCRIPTION],
        more
        | per_fraction
        | ((dose > codes.max_dose_gy()) | (actual > codes.max_dose_gy())).fill_null(False),
    )


def _prescriptions(registry: Registry) -> pl.DataFrame:
    """One row per episode and prescription: intent, region, modality, dose, fractions."""
    intents = (
        registry[EPISODE]
        .select(ID, EPISODE_ID, text("RADIOTHERAPYINTENT").alias("intent"))
        .unique([ID, EPISODE_ID])
    )
    rows = (
        registry[PRESCRIPTION]
        .unique([ID, EPISODE_ID, "PRESCRIPTIONID"])
        .join(intents, on=[ID, EPISODE_ID], how="left")
    )
    return rows.select(
        ID,
        EPISODE_ID,
        "intent",
        text("RTTREATMENTREGION").alias("region"),
        text("RTTREATMENTMODALITY").alias("modality"),
        number("RTPRESCRIBEDDOSE").alias("dose"),
        number("RTPRESCRIBEDFRACTIONS").cast(pl.Int64).alias("fractions"),
    )


@cache
def _curative_schedules() -> pl.DataFrame:
    rows = [
        (site.code, s.fractions, s.dose)
        for site in codes.sites().values()
        for s in codes.radiotherapy()[site.group]
        if s.kind != "palliative"
    ]
    return pl.DataFrame(
        rows,
        schema={"site": pl.String, "fractions": pl.Int64, "legal_dose": pl.Float64},
        orient="row",
    )


def schedules_in_bands(registry: Registry, context: RuleContext) -> Finding:
    """Share of curative prescriptions whose dose and fractions are a schedule of one of the
    patient's sites.
    """
    curative = _prescriptions(registry).filter(pl.col("intent") == "02").with_row_index("row")
    sites = registry[TUMOUR].select(ID, text("SITE_ICD10_O2_3CHAR").alias("site")).unique()
    legal = curative.join(sites, on=ID).join(_curative_schedules(), on=["site", "fractions"])
    inside = legal.filter((pl.col("dose") - pl.col("legal_dose")).abs() <= DOSE_TOLERANCE)[
        "row"
    ].n_unique()
    return share(inside, curative.height)


def curative_at_the_primary(registry: Registry, context: RuleContext) -> Finding:
    curative = _prescriptions(registry).filter(
        (pl.col("intent") == "02") & pl.col("region").is_not_null()
    )
    return share(curative.filter(pl.col("region").is_in(["P", "PR"])).height, curative.height)


def metastases_are_palliative(registry: Registry, context: RuleContext) -> Finding:
    at_metastasis = _prescriptions(registry).filter(
        (pl.col("region") == "M") & pl.col("intent").is_not_null()
    )
    return share(at_metastasis.filter(pl.col("intent") == "01").height, at_metastasis.height)


def modalities_and_isotopes(registry: Registry, context: RuleContext) -> Finding:
    modality = text("RTTREATMENTMODALITY")
    found = [rows_where(registry[PRESCRIPTION], ~modality.is_in(list(codes.lookup("rt_modality"))))]
    if registry.has(EXPOSURE, ["RADIOISOTOPE", "RADIOTHERAPYBEAMTYPE"]):
        found.append(
            rows_where(
                registry[EXPOSURE],
                (text("RADIOTHERAPYBEAMTYPE") == PHOTON) & pl.col("RADIOISOTOPE").is_not_null(),
            )
        )
    return together(*found)


def brachytherapy_at_its_sites(registry: Registry, context: RuleContext) -> Finding:
    sealed = registry[PRESCRIPTION].filter(text("RTTREATMENTMODALITY") == BRACHYTHERAPY)
    legal = [site.code for site in codes.sites().values() if site.brachytherapy]
    patients = registry[TUMOUR].filter(text("SITE_ICD10_O2_3CHAR").is_in(legal)).select(ID).unique()
    return Finding(failing(sealed.join(patients, on=ID, how="anti")), sealed.height)


def chemoradiation_has_radiotherapy(registry: Registry, context: RuleContext) -> Finding:
    """Share of regimens flagged as chemoradiation with an attendance from 14 days before their
    start to 14 days after their last cycle.
    """
    ends = (
        registry[CYCLE]
        .group_by(ID, "MERGED_REGIMEN_ID")
        .agg(pl.col("START_DATE_OF_CYCLE").max().alias("end"))
    )
    flagged = (
        registry[REGIMEN]
        .filter(text("CHEMO_RADIATION") == "Y")
        .join(ends, on=[ID, "MERGED_REGIMEN_ID"], how="left")
    )
    flagged = flagged.with_row_index("row")
    both = flagged.join(registry[EPISODE].select(ID, "APPTDATE"), on=ID)
    margin = pl.duration(days=14)
    start, end = (
        pl.col("START_DATE_OF_REGIMEN") - margin,
        pl.coalesce("end", "START_DATE_OF_REGIMEN") + margin,
    )
    return share(
        both.filter(pl.col("APPTDATE").is_between(start, end))["row"].n_unique(), flagged.height
    )


EPISODES = {EPISODE: [EPISODE_ID, "ATTENDID", "APPTDATE", "RADIOTHERAPYINTENT"]}
DOSES = {
    **EPISODES,
    PRESCRIPTION: [
        EPISODE_ID,
        "PRESCRIPTIONID",
        "RTTREATMENTREGION",
        "RTTREATMENTMODALITY",
        *PRESCRIBED,
    ],
}
RULES = (
    Rule(
        number=46,
        title="Radiotherapy is decided on, and appropriate, by the first attendance",
        severity="F",
        check=decided_before_first_attendance,
        reads={EPISODE: [EPISODE_ID, "APPTDATE", "DECISIONTOTREATDATE", "EARLIESTCLINAPPROPDATE"]},
    ),
    Rule(
        number=47,
        part="a",
        title="One attendance a day, as many as actual fractions",
        severity="F",
        check=attendances_are_fractions,
        reads=EPISODES,
    ),
    Rule(
        number=47,
        part="b",
        title="Attendances on weekdays",
        severity="W",
        scope="rate",
        bounds=(0.97, None),
        check=attendances_on_weekdays,
        reads=EPISODES,
    ),
    Rule(
        number=48,
        title="Doses and fractions are possible and no more than prescribed",
        severity="F",
        check=doses_are_possible,
        reads={PRESCRIPTION: PRESCRIBED},
    ),
    Rule(
        number=49,
        part="a",
        title="Curative schedules within the bands of their site",
        severity="W",
        scope="rate",
        bounds=(0.85, None),
        check=schedules_in_bands,
        reads={**DOSES, TUMOUR: ["SITE_ICD10_O2_3CHAR"]},
    ),
    Rule(
        number=49,
        part="b",
        title="Curative radiotherapy at the primary",
        severity="W",
        scope="rate",
        bounds=(0.5, None),
        check=curative_at_the_primary,
        reads=DOSES,
    ),
    Rule(
        number=49,
        part="c",
        title="Radiotherapy of metastases is palliative",
        severity="W",
        scope="rate",
        bounds=(0.5, None),
        check=metastases_are_palliative,
        reads=DOSES,
    ),
    Rule(
        number=50,
        part="a",
        title="Modality is a code; photons have no isotope",
        severity="F",
        check=modalities_and_isotopes,
        reads={PRESCRIPTION: ["RTTREATMENTMODALITY"]},
    ),
    Rule(
        number=50,
        part="b",
        title="Brachytherapy away from its sites",
        severity="W",
        bounds=(None, 0.01),
        check=brachytherapy_at_its_sites,
        reads={PRESCRIPTION: ["RTTREATMENTMODALITY"], TUMOUR: ["SITE_ICD10_O2_3CHAR"]},
    ),
    Rule(
        number=51,
        title="Chemoradiation has radiotherapy at the same time",
        severity="W",
        scope="rate",
        bounds=(0.80, None),
        check=chemoradiation_has_radiotherapy,
        reads={
            REGIMEN: ["MERGED_REGIMEN_ID", "START_DATE_OF_REGIMEN", "CHEMO_RADIATION"],
            CYCLE: ["MERGED_REGIMEN_ID", "START_DATE_OF_CYCLE"],
            **EPISODES,
        },
    ),
)
