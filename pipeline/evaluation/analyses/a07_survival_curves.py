"""A7: Kaplan-Meier survival after 1, 3 and 5 years, median and restricted mean over 5 years.

Everybody, each stratum, site by stage. Deaths of any cause; what the declaration calls censoring
censors. Limits: 2 points for everybody, 4 in a stratum; restricted mean .1 years. A horizon at
which fewer than 30 real patients are still watched is left out, as is a median not reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import Question, absent, difference, scale_of
from pipeline.evaluation.analyses.curve_groups import EVERYBODY, curve_groups
from pipeline.evaluation.analyses.estimates import DAYS_PER_YEAR
from pipeline.evaluation.analyses.survival import HORIZON, Curve
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

LIMIT, LIMIT_STRATUM, LIMIT_MEAN = 2.0, 4.0, 0.1
# of a median no limit is published; the same as A15's 10%, at least 30 days
MEDIAN_SHARE, MEDIAN_DAYS = 0.1, 30.0
YEARS = (1, 3, 5)
MIN_WATCHED = 30


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    question = Question(
        analysis="A7",
        what="",
        measure="difference of survival, in points",
        unit="%",
        scale=scale_of(real, synthetic),
    )
    findings = []
    for label, first, second in curve_groups(schema, real, synthetic):
        findings += curve_findings(question.of(label), first, second)
    return findings


def curve_findings(question: Question, real: Curve, synthetic: Curve) -> list[Finding]:
    """Of one group."""
    if lack := absent(question, None, real.n, synthetic.n):
        return [lack]
    limit = LIMIT if question.what == EVERYBODY else LIMIT_STRATUM
    findings = [
        difference(
            question.of(f"{question.what}: alive after {words.years(year)}"),
            real.at(year * DAYS_PER_YEAR),
            synthetic.at(year * DAYS_PER_YEAR),
            limit,
        )
        for year in YEARS
        if real.watched(year * DAYS_PER_YEAR) >= MIN_WATCHED
    ]
    if real.watched(HORIZON) >= MIN_WATCHED:
        about = question.of(
            f"{question.what}: years alive within 5 years",
            measure="difference of the restricted mean, in years",
            unit="years",
        )
        means = real.restricted_mean(), synthetic.restricted_mean()
        findings.append(difference(about, *means, LIMIT_MEAN))
    return findings + _median(question, real, synthetic)


def _median(question: Question, real: Curve, synthetic: Curve) -> list[Finding]:
    medians = real.median(), synthetic.median()
    if medians[0] is None or medians[1] is None:
        return []
    about = question.of(
        f"{question.what}: median survival", measure="difference, in days", unit="days"
    )
    limit = max(MEDIAN_DAYS, MEDIAN_SHARE * medians[0].value)
    return [
        finding
        for finding in [difference(about, medians[0], medians[1], limit)]
        if math.isfinite(finding.limit)
    ]


ANALYSIS = Analysis(number="A7", name="Survival curves", needs=("events",), run=run)
