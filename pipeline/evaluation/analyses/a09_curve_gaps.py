"""A9: largest vertical gap between the two Kaplan-Meier curves over 5 years, and the area between
them; and the pace of dying in one number, which shows a drift that every single curve hides.

Limits: .04; .1 years. The time ratio (pace.py) is held to 8%: no published limit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.analyses.comparison import (
    Question,
    absent,
    both,
    finding,
    scale_of,
    untested,
)
from pipeline.evaluation.analyses.curve_groups import EVERYBODY, curve_groups
from pipeline.evaluation.analyses.estimates import DAYS_PER_YEAR, Z99
from pipeline.evaluation.analyses.pace import time_ratio
from pipeline.evaluation.analyses.survival import HORIZON, Curve, outcomes
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

LIMIT_GAP, LIMIT_AREA, LIMIT_PACE = 4.0, 0.1, 0.08  # points; years; log ratio of times
MIN_WATCHED = 30
STEP = 15  # days
# 99th percentile of the highest absolute value of a Brownian motion, in its final deviation
REACH = 2.81


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    question = Question(
        analysis="A9",
        what="",
        measure="largest gap between the curves over 5 years, in points",
        scale=scale_of(real, synthetic),
    )
    findings: list[Finding] = []
    for label, first, second in curve_groups(schema, real, synthetic):
        findings += _gaps(question.of(label), first, second)
    return [*findings, _pace(question, schema, real, synthetic)]


def _pace(question: Question, schema: Schema, real: PatientLog, synthetic: PatientLog) -> Finding:
    about = question.of(
        f"{EVERYBODY}: how long synthetic patients live against real ones of the same strata",
        measure="log ratio of survival times",
        unit="ratio of times",
    )
    frames = both(lambda log: outcomes(schema, log), (real, synthetic))
    ratio = time_ratio(frames, schema.strata)
    if ratio is None:
        return untested(about, "too few deaths")
    limit = max(LIMIT_PACE, Z99 * ratio.error)
    return finding(about, abs(ratio.value), limit, None, ratio.ratio)


def _gaps(question: Question, real: Curve, synthetic: Curve) -> list[Finding]:
    if lack := absent(question, None, real.n, synthetic.n):
        return [lack]
    grid = np.arange(0, HORIZON, STEP)
    grid = grid[[real.watched(day) >= MIN_WATCHED for day in grid]]
    if len(grid) < 2:
        return []
    gap = np.abs(real.shares(grid) - synthetic.shares(grid))
    error = np.hypot(real.errors(grid), synthetic.errors(grid))
    area = float(gap.sum() * STEP / DAYS_PER_YEAR)
    # an upper bound: as if the errors of all days went together
    chance = Z99 * float(error.sum() * STEP / DAYS_PER_YEAR)
    between = question.of(
        f"{question.what}: area between the curves", measure="area between the curves, in years"
    )
    return [
        finding(
            question.of(f"{question.what}: gap between the curves"),
            100 * float(gap.max()),
            max(LIMIT_GAP, 100 * REACH * float(error.max())),
        ),
        finding(between, area, max(LIMIT_AREA, chance)),
    ]


ANALYSIS = Analysis(number="A9", name="Gaps between survival curves", needs=("events",), run=run)
