"""A12: whether the hazard ratio of an emergency route is higher in the first 90 days than later:
two Cox models with age, sex and stage, to day 90 and from day 90 on.

domain: the ratio of the two ratios within .7 to 1.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from pipeline.evaluation.analyses.cohort import NEEDS, cohort
from pipeline.evaluation.analyses.comparison import (
    Coefficient,
    Question,
    both,
    coefficient_difference,
    scale,
    untested,
)
from pipeline.evaluation.analyses.regressions import cox
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

EARLY = 90  # days
TERMS = ("emergency", "age10", "male", "stage2", "stage3", "stage4", "stage_unknown")
LIMIT = math.log(1.4)


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(lambda log: cohort(schema, log), (real, synthetic))
    question = Question(
        analysis="A12",
        what="Emergency route: hazard ratio to day 90 over that later",
        measure="difference of log ratios",
        unit="ratio of hazard ratios",
        scale=scale(frames),
    )
    ratios = both(early_over_late, frames)
    if ratios[0] is None:
        return [untested(question, "too few early deaths")]
    return [coefficient_difference(question, ratios[0], ratios[1], LIMIT)]


def early_over_late(rows: pl.DataFrame) -> Coefficient | None:
    """Log of the early over the late hazard ratio."""
    days = pl.col("days")
    early = cox(
        rows.with_columns(days=days.clip(upper_bound=EARLY), died=pl.col("died") & (days <= EARLY)),
        TERMS,
        "SITE_GROUP",
    )
    late = cox(rows.filter(days > EARLY).with_columns(days=days - EARLY), TERMS, "SITE_GROUP")
    parts = [model.coefficients.get("emergency") if model else None for model in (early, late)]
    first, second = parts
    if first is None or second is None:
        return None
    error = math.hypot(first.error, second.error)
    return Coefficient(first.value - second.value, error, first.n)


ANALYSIS = Analysis(
    number="A12", name="Early excess of emergencies", needs=(*NEEDS, "FINAL_ROUTE"), run=run
)
