"""A6: routes to diagnosis by site. Limits: TVD .05; emergency presentations 2 points."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluation.analyses.comparison import (
    Question,
    both,
    counts,
    difference,
    proportions,
    scale,
    share_distance,
    strata,
)
from pipeline.evaluation.analyses.registry_patients import NEEDS, registry_patients
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

LIMIT_TVD, LIMIT_EMERGENCY = 0.05, 2.0


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(
        lambda log: registry_patients(schema, log),
        (real, synthetic),
    )
    question = Question(
        analysis="A6",
        what="",
        measure="total variation distance beyond chance",
        scale=scale(frames),
    )
    findings = []
    for column in ("all", "SITE_GROUP"):
        for (site,), parts in strata(frames, [column]):
            findings.append(
                share_distance(
                    question.of(f"{site}: routes"), *counts(parts, "FINAL_ROUTE"), LIMIT_TVD
                )
            )
            about = question.of(
                f"{site}: emergency presentation", measure="difference, in points", unit="%"
            )
            findings.append(difference(about, *proportions(parts, "is_emergency"), LIMIT_EMERGENCY))
    return findings


ANALYSIS = Analysis(number="A6", name="Routes to diagnosis", needs=(*NEEDS, "FINAL_ROUTE"), run=run)
