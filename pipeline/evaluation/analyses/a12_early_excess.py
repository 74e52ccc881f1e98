"""A12: whether the hazard ratio of an emergency route is higher in the first 90 days than later:
two Cox models with age, sex, stage and site, to day 90 and from day 90 on.

Limits: the ratio of the two ratios within .7 to 1.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl

from pipeline.evaluation.analyses.comparison import (
    Coefficient,
    Question,
    both,
    coefficient_difference,
    scale,
    untested,
)
from pipeline.evaluation.analyses.registry_patients import (
    NEEDS,
    registry_patients,
    site_terms,
    with_site_terms,
)
from pipeline.evaluation.analyses.regressions import cox
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

EARLY = 90  # days
TERMS = ("emergency", "age10", "male", "stage2", "stage3", "stage4", "stage_unknown")
LIMIT = math.log(1.4)


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(lambda log: registry_patients(schema, log), (real, synthetic))
    question = Question(
        analysis="A12",
        what="Emergency route: hazard ratio to day 90 over that later",
        measure="difference of log ratios",
        unit="ratio of hazard ratios",
        scale=scale(frames),
    )
    sites = site_terms(frames[0])
    ratios = both(lambda rows: early_over_late(rows, sites), frames)
    if ratios[0] is None:
        return [untested(question, "too few early deaths")]
    return [coefficient_difference(question, ratios[0], ratios[1], LIMIT)]


def early_over_late(rows: pl.DataFrame, sites: Mapping[str, str]) -> Coefficient | None:
    """Log of the early over the late hazard ratio, adjusted for `sites`."""
    days, terms = pl.col("days"), [*TERMS, *sites]
    rows = with_site_terms(rows, sites)
    to_day_90 = rows.with_columns(
        days=days.clip(upper_bound=EARLY), died=pl.col("died") & (days <= EARLY)
    )
    early = cox(to_day_90, terms)
    late = cox(rows.filter(days > EARLY).with_columns(days=days - EARLY), terms)
    parts = [model.coefficients.get("emergency") if model else None for model in (early, late)]
    first, second = parts
    if first is None or second is None:
        return None
    error = math.hypot(first.error, second.error)
    return Coefficient(first.value - second.value, error, first.n, first.cases)


ANALYSIS = Analysis(
    number="A12", name="Early excess of emergencies", needs=(*NEEDS, "FINAL_ROUTE"), run=run
)
