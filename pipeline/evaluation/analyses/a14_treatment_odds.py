"""A14: who is treated: logistic models of resection, drugs and radiotherapy on age, performance
status, deprivation, Charlson score, stage and site.

Limits: mean overlap of intervals .5 and the signs of clear coefficients; a coefficient .1 or
sampling error.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluation.analyses.comparison import Question, both, scale
from pipeline.evaluation.analyses.registry_patients import (
    LABELS,
    NEEDS,
    registry_patients,
    single,
    site_terms,
    with_site_terms,
)
from pipeline.evaluation.analyses.regressions import compared, logit, signs, without
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

TERMS = (
    "age10",
    "male",
    "poor_performance",
    "deprivation",
    "charlson",
    "stage2",
    "stage3",
    "stage4",
    "stage_unknown",
)


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(lambda log: single(registry_patients(schema, log)), (real, synthetic))
    sites = site_terms(frames[0])
    frames = both(lambda rows: with_site_terms(rows, sites), frames)
    question = Question(
        analysis="A14",
        what="",
        measure="difference of log odds ratios",
        unit="odds ratio",
        scale=scale(frames),
    )
    findings: list[Finding] = []
    pairs = []
    for name, label in LABELS.items():
        first, second = (without(logit(frame, name, [*TERMS, *sites]), sites) for frame in frames)
        findings += compared(question.of(label), first, second, least=0.5)
        pairs += [(first, second)] if first and second else []
    about = question.of(
        "All treatments: signs of clear coefficients", measure="share of other signs", unit=""
    )
    return [*findings, signs(about, pairs)]


ANALYSIS = Analysis(
    number="A14",
    name="Who is treated",
    needs=(*NEEDS, "QUINTILE_2019", "PERFORMANCESTATUS", "CHRL_TOT_27_03"),
    run=run,
)
