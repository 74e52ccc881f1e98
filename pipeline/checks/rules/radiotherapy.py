"""Clinical rules 46 to 51: radiotherapy episodes, prescriptions and exposures."""

from __future__ import annotations

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
from pipeline.checks.rules.radiotherapy_tables import (
    DOSES,
    EPISODE_ID,
    EPISODES,
    IS_CURATIVE,
    prescriptions,
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
from pipeline.schema.codes import lists, tumour_sites
from pipeline.schema.patient_log import ID

PHOTON, BRACHYTHERAPY = "T1", "6"  # z_radiotherapybeamtype, z_rttreatmentmodality


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
    findings = [rows_where(episodes, pl.col("days") < pl.col("n"))]
    if registry.has(PRESCRIPTION, [EPISODE_ID, "PRESCRIPTIONID", "RTACTUALFRACTIONS"]):
        prescriptions_by_episode = (
            registry[PRESCRIPTION]
            .group_by(ID, EPISODE_ID)
            .agg(
                pl.col("PRESCRIPTIONID").n_unique().alias("prescriptions"),
                number("RTACTUALFRACTIONS").max().alias("fractions"),
            )
        )
        single = episodes.join(
            prescriptions_by_episode.filter(pl.col("prescriptions") == 1), on=[ID, EPISODE_ID]
        )
        findings.append(rows_where(single, (pl.col("attendances") - pl.col("fractions")).abs() > 1))
    return together(*findings)


def attendances_on_weekdays(registry: Registry, context: RuleContext) -> Finding:
    days = registry[EPISODE]["APPTDATE"].drop_nulls()
    return share(int((days.dt.weekday() <= 5).sum()), days.len())


def curative_at_the_primary(registry: Registry, context: RuleContext) -> Finding:
    curative = prescriptions(registry).filter(IS_CURATIVE & pl.col("region").is_not_null())
    return share(curative.filter(pl.col("region").is_in(["P", "PR"])).height, curative.height)


def metastases_are_palliative(registry: Registry, context: RuleContext) -> Finding:
    at_metastasis = prescriptions(registry).filter(pl.col("region") == "M")
    return share(at_metastasis.filter(~IS_CURATIVE).height, at_metastasis.height)


def modalities_and_isotopes(registry: Registry, context: RuleContext) -> Finding:
    modality = text("RTTREATMENTMODALITY")
    findings = [
        rows_where(registry[PRESCRIPTION], ~modality.is_in(list(lists.lookup("rt_modality"))))
    ]
    if registry.has(EXPOSURE, ["RADIOISOTOPE", "RADIOTHERAPYBEAMTYPE"]):
        findings.append(
            rows_where(
                registry[EXPOSURE],
                (text("RADIOTHERAPYBEAMTYPE") == PHOTON) & pl.col("RADIOISOTOPE").is_not_null(),
            )
        )
    return together(*findings)


def brachytherapy_at_its_sites(registry: Registry, context: RuleContext) -> Finding:
    sealed = registry[PRESCRIPTION].filter(text("RTTREATMENTMODALITY") == BRACHYTHERAPY)
    legal = [site.code for site in tumour_sites.sites().values() if site.brachytherapy]
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
        title="Radiotherapy of metastases has no curative intent",
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
