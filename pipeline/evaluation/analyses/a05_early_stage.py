"""A5: share of stage 1 and 2 among patients of stage 1 to 4, by site and by deprivation, and its
slope over the fifths of deprivation within sites.

Limits: 2 points; the slope by the overlap of intervals, .6, which is a matter of sampling alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import (
    Frames,
    Question,
    both,
    coefficient_difference,
    difference,
    proportions,
    scale,
    strata,
    untested,
)
from pipeline.evaluation.analyses.registry_patients import (
    NEEDS,
    STAGES,
    registry_patients,
    site_terms,
    with_site_terms,
)
from pipeline.evaluation.analyses.regressions import logit
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

LIMIT, LIMIT_SLOPE = 2.0, 0.02  # points; log odds per fifth
N_SITES = 10


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(
        lambda log: (
            registry_patients(schema, log)
            .filter(pl.col("STAGE_GROUP").is_in(STAGES))
            .with_columns(early=pl.col("STAGE_GROUP").is_in(STAGES[:2]))
        ),
        (real, synthetic),
    )
    question = Question(
        analysis="A5",
        what="Early stage",
        measure="difference of the share of stage 1 and 2, in points",
        unit="%",
        scale=scale(frames),
    )
    findings = []
    for column in ("SITE_GROUP", "QUINTILE_2019"):
        for (value,), parts in strata(frames, [column], N_SITES):
            about = question.of(f"Early stage: {words.value(schema, column, value)}")
            findings.append(difference(about, *proportions(parts, "early"), LIMIT))
    return [*findings, _slope(question, frames)]


def _slope(question: Question, frames: Frames) -> Finding:
    sites = site_terms(frames[0])
    models = both(
        lambda rows: logit(with_site_terms(rows, sites), "early", ["deprivation", *sites]), frames
    )
    about = question.of(
        "Early stage: deprivation, per fifth, within sites",
        measure="difference of log odds ratios",
        unit="odds ratio",
    )
    if models[0] is None or "deprivation" not in models[0].coefficients:
        return untested(about, "too few cases")
    slope = models[1].coefficients.get("deprivation") if models[1] else None
    return coefficient_difference(about, models[0].coefficients["deprivation"], slope, LIMIT_SLOPE)


ANALYSIS = Analysis(number="A5", name="Early stage", needs=(*NEEDS, "QUINTILE_2019"), run=run)
