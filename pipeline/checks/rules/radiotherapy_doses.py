"""Clinical rules 48 and 49 a: prescribed and given doses of radiotherapy."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.checks.rules.model import (
    Finding,
    Rule,
    RuleContext,
    rows_where,
    share,
)
from pipeline.checks.rules.radiotherapy_tables import (
    DOSES,
    IS_CURATIVE,
    PRESCRIBED,
    prescriptions,
)
from pipeline.checks.rules.registry import (
    PRESCRIPTION,
    TUMOUR,
    Registry,
    number,
    text,
)
from pipeline.schema.codes import radiotherapy_schedules, tumour_sites
from pipeline.schema.patient_log import ID

# Gy around a schedule of datasets/codes/radiotherapy.yaml, whose bands are that wide
DOSE_TOLERANCE = 1.0


def doses_are_possible(registry: Registry, context: RuleContext) -> Finding:
    dose, fractions, actual_dose, actual_fractions = (number(column) for column in PRESCRIBED)
    more = (actual_dose > dose * 1.05).fill_null(False) | (actual_fractions > fractions).fill_null(
        False
    )
    per_fraction = (~(dose / fractions).is_between(0.5, 30)).fill_null(False)
    return rows_where(
        registry[PRESCRIPTION],
        more
        | per_fraction
        | (
            (dose > radiotherapy_schedules.max_dose_gy())
            | (actual_dose > radiotherapy_schedules.max_dose_gy())
        ).fill_null(False),
    )


@cache
def _curative_schedules() -> pl.DataFrame:
    rows = [
        (site.code, s.fractions, s.dose)
        for site in tumour_sites.sites().values()
        for s in radiotherapy_schedules.schedules()[site.group]
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
    curative = prescriptions(registry).filter(IS_CURATIVE).with_row_index("row")
    sites = registry[TUMOUR].select(ID, text("SITE_ICD10_O2_3CHAR").alias("site")).unique()
    legal = curative.join(sites, on=ID).join(_curative_schedules(), on=["site", "fractions"])
    inside = legal.filter((pl.col("dose") - pl.col("legal_dose")).abs() <= DOSE_TOLERANCE)[
        "row"
    ].n_unique()
    return share(inside, curative.height)


RULES = (
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
)
