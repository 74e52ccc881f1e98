"""A8: whether survival falls from stage to stage, and how strongly (log-rank test over stages 1 to
4), for all sites and the five commonest.

Limits: the same order of survival after 1 year; ratio of the log-rank statistics, each per death,
.7 to 1.4. Only pairs of stages that the real table tells apart are held to their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import polars as pl
from lifelines.statistics import multivariate_logrank_test

from pipeline.evaluation.analyses.comparison import (
    MIN_EVENTS,
    MIN_PATIENTS,
    Question,
    both,
    finding,
    scale,
    strata,
    untested,
)
from pipeline.evaluation.analyses.estimates import DAYS_PER_YEAR, Z99
from pipeline.evaluation.analyses.registry_patients import NEEDS, STAGES, registry_patients
from pipeline.evaluation.analyses.survival import curve
from pipeline.evaluation.findings import Analysis, Estimate, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

N_SITES, MAX_ROWS = 5, 50_000
LIMIT = math.log(1.4)
MIN_STATISTIC = 30.0  # a smaller log-rank statistic is mostly chance


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(
        lambda log: registry_patients(schema, log).filter(pl.col("STAGE_GROUP").is_in(STAGES)),
        (real, synthetic),
    )
    question = Question(
        analysis="A8",
        what="",
        measure="largest inversion of survival after 1 year, in points",
        unit="",
        scale=scale(frames),
    )
    findings = []
    for column, n in (("all", 1), ("SITE_GROUP", N_SITES)):
        for (site,), parts in strata(frames, [column], n):
            findings.append(_order(question.of(f"{site}: order of stages"), *parts))
            findings.append(_strength(question.of(f"{site}: log-rank over stages"), *parts))
    return findings


def _order(question: Question, real: pl.DataFrame, synthetic: pl.DataFrame) -> Finding:
    points = _points(real), _points(synthetic)
    inversion, limit, n = 0.0, 0.0, 0
    for early, late in combinations(STAGES, 2):
        if not all(stage in points[0] for stage in (early, late)):
            continue
        gap, error = _gap(points[0], early, late)
        if abs(gap) <= Z99 * error or any(stage not in points[1] for stage in (early, late)):
            continue
        n += 1
        other, error = _gap(points[1], early, late)
        against = max(0.0, -other if gap > 0 else other)
        if against - Z99 * error > inversion - limit:
            inversion, limit = against, Z99 * error
    return finding(question, inversion, limit) if n else untested(question, "too few patients")


def _points(frame: pl.DataFrame) -> dict[str, tuple[float, float]]:
    """Survival after 1 year and its error by stage, in points."""
    points = {}
    for (stage,), part in frame.partition_by("STAGE_GROUP", as_dict=True).items():
        if len(part) >= MIN_EVENTS:
            one = curve(part).at(DAYS_PER_YEAR)
            points[str(stage)] = one.value, (one.high - one.low) / 3.92
    return points


def _gap(points: dict[str, tuple[float, float]], early: str, late: str) -> tuple[float, float]:
    return points[early][0] - points[late][0], math.hypot(points[early][1], points[late][1])


def _strength(question: Question, real: pl.DataFrame, synthetic: pl.DataFrame) -> Finding:
    about = question.of(
        question.what,
        measure="log ratio of log-rank statistics per death",
        unit="chi-squared per death",
    )
    if len(real) < MIN_PATIENTS or len(synthetic) < MIN_EVENTS:
        return untested(about, "too few patients")
    values = []
    for frame in (real, synthetic):
        frame = frame if len(frame) <= MAX_ROWS else frame.sample(MAX_ROWS, seed=1)
        deaths = int(frame["died"].sum())
        if deaths < MIN_EVENTS or frame["STAGE_GROUP"].n_unique() < 2:
            return untested(about, "too few deaths or stages")
        test = multivariate_logrank_test(
            frame["days"].to_numpy(), frame["STAGE_GROUP"].to_numpy(), frame["died"].to_numpy()
        )
        values.append((float(test.test_statistic), deaths, len(frame)))
    if values[0][0] < MIN_STATISTIC:
        return untested(about, "stages hardly differ")
    # a non-central chi-squared of value x has a variance of about 4 x
    error = math.sqrt(sum(4 / max(value, 1.0) for value, _, _ in values))
    estimates = [
        Estimate(
            value=value / deaths,
            low=max(0.0, (value - 3.92 * math.sqrt(value)) / deaths),
            high=(value + 3.92 * math.sqrt(value)) / deaths,
            n=n,
        )
        for value, deaths, n in values
    ]
    ratio = max(estimates[1].value, 1e-9) / estimates[0].value
    return finding(about, abs(math.log(ratio)), max(LIMIT, Z99 * error), *estimates)


ANALYSIS = Analysis(number="A8", name="Order of stages", needs=NEEDS, run=run)
