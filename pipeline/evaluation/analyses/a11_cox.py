"""A11: Cox model of death: age, sex, stage, deprivation, performance status, Charlson score, route;
for all patients with a term for each of the 15 commonest sites, and for each of the ten commonest.

Limits: a coefficient .1 or sampling error; mean overlap of intervals .6; concordance .02; signs of
clear coefficients 95%. Unknown stage is a term; unknown performance counts as good, on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.evaluation.analyses.comparison import MIN_EVENTS, Question, both, scale, strata
from pipeline.evaluation.analyses.registry_patients import (
    NEEDS,
    registry_patients,
    site_terms,
    with_site_terms,
)
from pipeline.evaluation.analyses.regressions import (
    Model,
    compared,
    concordance_difference,
    cox,
    signs,
    without,
)
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

TERMS = (
    "age10",
    "male",
    "stage2",
    "stage3",
    "stage4",
    "stage_unknown",
    "deprivation",
    "poor_performance",
    "charlson",
    "emergency",
)
N_SITES, MAX_SITE_ROWS = 10, 15_000
MIN_DEATHS = 5 * MIN_EVENTS  # per model of ten terms


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(lambda log: registry_patients(schema, log), (real, synthetic))
    question = Question(
        analysis="A11",
        what="All sites",
        measure="difference of log hazard ratios",
        unit="hazard ratio",
        scale=scale(frames),
    )
    sites = site_terms(frames[0])
    models = both(
        lambda rows: without(cox(with_site_terms(rows, sites), [*TERMS, *sites]), sites), frames
    )
    findings = compared(question, *models)
    pairs = _pairs(models)
    for first, second in pairs:
        findings += concordance_difference(question, first, second)
    for (site,), parts in strata(frames, ["SITE_GROUP"], N_SITES):
        if parts[0]["died"].sum() < MIN_DEATHS:
            continue
        models = both(lambda part: cox(_sample(part), TERMS), parts)
        about = question.of(site)
        findings += compared(about, *models)
        pairs += _pairs(models)
        for first, second in _pairs(models):
            findings += concordance_difference(about, first, second)
    about = question.of(
        "All models: signs of clear coefficients", measure="share of other signs", unit=""
    )
    return [*findings, signs(about, pairs)]


def _pairs(models: tuple[Model | None, Model | None]) -> list[tuple[Model, Model]]:
    first, second = models
    return [(first, second)] if first and second else []


def _sample(rows: pl.DataFrame) -> pl.DataFrame:
    return rows if len(rows) <= MAX_SITE_ROWS else rows.sample(MAX_SITE_ROWS, seed=1)


ANALYSIS = Analysis(
    number="A11",
    name="Hazard ratios",
    needs=(*NEEDS, "QUINTILE_2019", "PERFORMANCESTATUS", "CHRL_TOT_27_03", "FINAL_ROUTE"),
    run=run,
)
