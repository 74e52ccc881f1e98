"""A25: how the share of patients with anti-cancer drugs, surgery and radiotherapy falls with age,
Charlson score and deprivation: slopes of a straight line, in points per step.

Limits: the same sign and within 20%; a slope that the real table does not tell from 0 is held to
sampling error alone. Also the share of drug patients over 75.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Question,
    both,
    difference,
    proportions,
    scale,
    untested,
)
from pipeline.evaluation.analyses.estimates import around
from pipeline.evaluation.analyses.registry_patients import LABELS, NEEDS, registry_patients, single
from pipeline.evaluation.findings import Analysis, Estimate, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

LIMIT, LIMIT_OLD, OLD = 0.2, 3.0, 75
STEPS = {
    "age10": "per 10 years of age",
    "charlson": "per point of the Charlson score",
    "deprivation": "per fifth of deprivation",
}
LEAST_POINTS = 0.5  # a difference of slopes that no reader would act on


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(lambda log: single(registry_patients(schema, log)), (real, synthetic))
    question = Question(
        analysis="A25",
        what="",
        measure="difference of the slope, in points per step",
        unit="points per step",
        scale=scale(frames),
    )
    if len(frames[0]) < MIN_PATIENTS:
        return [untested(question.of("Gradients"), "too few patients")]
    findings = []
    for name, label in LABELS.items():
        for step, words in STEPS.items():
            slopes = slope(frames[0], name, step), slope(frames[1], name, step)
            limit = max(LEAST_POINTS, LIMIT * abs(slopes[0].value))
            findings.append(difference(question.of(f"{label} {words}"), *slopes, limit))
    treated = both(
        lambda rows: rows.filter("drugs").with_columns(is_old=pl.col("AGE") > OLD), frames
    )
    about = question.of(
        f"Patients with drugs: older than {OLD}", measure="difference, in points", unit="%"
    )
    if len(treated[0]) >= MIN_PATIENTS:
        findings.append(difference(about, *proportions(treated, "is_old"), LIMIT_OLD))
    return findings


def slope(rows: pl.DataFrame, outcome: str, step: str) -> Estimate:
    """Least squares, with the error that does not suppose equal variances."""
    rows = rows.select(step, outcome).drop_nulls()
    x, y = rows[step].to_numpy(), 100 * rows[outcome].cast(pl.Float64).to_numpy()
    x = x - x.mean() if len(x) else x
    square = float((x**2).sum())
    if square == 0:
        return Estimate(value=math.nan)
    value = float((x * y).sum()) / square
    residuals = y - y.mean() - value * x
    return around(value, float(np.sqrt(((x * residuals) ** 2).sum())) / square, len(x))


ANALYSIS = Analysis(
    number="A25",
    name="Gradients of treatment",
    needs=(*NEEDS, "QUINTILE_2019", "CHRL_TOT_27_03"),
    run=run,
)
