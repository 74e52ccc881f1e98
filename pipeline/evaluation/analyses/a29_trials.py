"""A29: who takes part in a trial, among patients with anti-cancer drugs: logistic model on the most
deprived fifth, age, sex, year of diagnosis, Charlson score and stage 4 (a published use of the
Simulacrum v2: CLINDA study, odds ratio of deprivation .98, 5.6% in trials).

A patient counts as in a trial where any regimen says so; unknown counts as no. Limits: mean overlap
of the intervals .6.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.evaluation.analyses.comparison import (
    MIN_EVENTS,
    MIN_PATIENTS,
    Question,
    both,
    difference,
    proportions,
    scale_of,
    untested,
)
from pipeline.evaluation.analyses.registry_patients import NEEDS, registry_patients
from pipeline.evaluation.analyses.regressions import compared, logit
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

TERMS = ("most_deprived", "age10", "male", "year", "charlson", "stage4")
LIMIT = 1.0  # points of the share in trials


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(lambda log: drug_patients(schema, log), (real, synthetic))
    question = Question(
        analysis="A29",
        what="In a trial",
        measure="difference of log odds ratios",
        unit="odds ratio",
        scale=scale_of(real, synthetic),
    )
    if len(frames[0]) < MIN_PATIENTS or int(frames[0]["is_in_trial"].sum()) < MIN_EVENTS:
        return [untested(question, "too few patients in trials")]
    share = question.of("Share in a trial", measure="difference, in points", unit="%")
    models = both(lambda rows: logit(rows, "is_in_trial", TERMS), frames)
    return [
        difference(share, *proportions(frames, "is_in_trial"), LIMIT),
        *compared(question, *models),
    ]


def drug_patients(schema: Schema, log: PatientLog) -> pl.DataFrame:
    trials = (
        log.pathways.filter(pl.col("type") == "SACT_REGIMEN")
        .group_by(ID)
        .agg(is_in_trial=pl.col("clinical_trial").eq("Y").any())
    )
    return registry_patients(schema, log).join(trials, on=ID)


ANALYSIS = Analysis(
    number="A29",
    name="Trial participation",
    needs=(*NEEDS, "QUINTILE_2019", "CHRL_TOT_27_03", "clinical_trial"),
    run=run,
)
