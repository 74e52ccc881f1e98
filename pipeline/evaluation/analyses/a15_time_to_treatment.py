"""A15: days from diagnosis to the first treatment by site; treated within 62 days of an urgent
referral, and within 31 days of the decision to treat.

The log has the decision in bands (0, 1-7, ... 22-31, 32-45 days), so 31 days are exact and a median
is not asked; a patient without a known decision or urgent referral is not in those shares. Limits:
3 days or 10% of the median; 3 points.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Frames,
    Question,
    both,
    difference,
    proportions,
    scale,
    strata,
)
from pipeline.evaluation.analyses.estimates import quantile
from pipeline.evaluation.analyses.registry_patients import (
    NEEDS,
    TREATMENTS,
    registry_patients,
    single,
)
from pipeline.evaluation.findings import Analysis, Estimate, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

LIMIT_DAYS, LIMIT_SHARE, LIMIT = 3.0, 0.1, 3.0
URGENT, DECISION = 62, ("0", "1-7", "8-14", "15-21", "22-31")
DAY = 1.0  # the least error of a median of whole days


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(lambda log: treatment_times(schema, log), (real, synthetic))
    question = Question(
        analysis="A15",
        what="",
        measure="difference of the median, in days",
        unit="days",
        scale=scale(frames),
    )
    findings = []
    for column, n in (("all", 1), ("SITE_GROUP", 10)):
        for (site,), parts in strata(frames, [column], n):
            medians = both(_median, parts)
            limit = max(LIMIT_DAYS, LIMIT_SHARE * medians[0].value)
            about = question.of(f"{site}: diagnosis to first treatment")
            findings.append(difference(about, *medians, limit))
            findings += _standards(question.of(site), parts)
    return findings


def treatment_times(schema: Schema, log: PatientLog) -> pl.DataFrame:
    """Treated patients, with true or false, or null where it cannot be told: `in_62`, `in_31`."""
    rows = single(registry_patients(schema, log)).filter("treated")
    referrals = (
        log.pathways.filter((pl.col("type") == "REFERRAL") & (pl.col("code") == "TWW"))
        .group_by(ID)
        .agg(referral_day=pl.col("day").min())
    )
    decisions = (
        log.pathways.filter(pl.col("type").is_in(list(TREATMENTS.values())))
        .sort(ID, "seq")
        .select(ID, "decision_days", treatment_day="day")
        .unique([ID, "treatment_day"], keep="first", maintain_order=True)
    )
    return (
        rows.join(referrals, on=ID, how="left")
        .join(decisions, on=[ID, "treatment_day"], how="left")
        .with_columns(
            in_62=pl.col("treatment_day") - pl.col("referral_day") <= URGENT,
            in_31=pl.col("decision_days").is_in(DECISION),
        )
    )


def _median(rows: pl.DataFrame) -> Estimate:
    one = quantile(rows["treatment_day"].to_numpy(), 0.5)
    return Estimate(
        value=one.value,
        low=min(one.low, one.value - DAY),
        high=max(one.high, one.value + DAY),
        n=one.n,
    )


def _standards(question: Question, parts: Frames) -> list[Finding]:
    findings = []
    for column, label in (
        ("in_62", "treated within 62 days of an urgent referral"),
        ("in_31", "treated within 31 days of the decision"),
    ):
        shares = proportions(parts, column)
        if shares[0].n < MIN_PATIENTS:
            continue
        about = question.of(f"{question.what}: {label}", measure="difference, in points", unit="%")
        findings.append(difference(about, *shares, LIMIT))
    return findings


ANALYSIS = Analysis(
    number="A15", name="Time to treatment", needs=(*NEEDS, "REFERRAL", "decision_days"), run=run
)
