"""A2: distributions of numbers and dates (Kolmogorov-Smirnov) and counts by month of the dates.

Limits: D .03, correlation of monthly counts .9. Where the months of the real table hardly differ,
two real samples do not correlate either, and the correlation is not tested.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Question,
    absent,
    both,
    counts,
    finding,
    scale_of,
    untested,
)
from pipeline.evaluation.analyses.estimates import ks, ks_of_chance
from pipeline.evaluation.findings import Analysis, Estimate, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

LIMIT_D, LIMIT_CORRELATION = 0.03, 0.1
DRAWS = 200  # of monthly counts from one population
FLAT = 0.5  # a limit of 1 - correlation beyond which the months tell nothing


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    findings = []
    for name, column in schema.patients.items():
        if not column.is_numeric:
            continue
        parts = real.patients[name].drop_nulls(), synthetic.patients[name].drop_nulls()
        question = Question(
            analysis="A2",
            what=words.title(name),
            measure="Kolmogorov-Smirnov distance",
            unit=column.unit or "",
            scale=scale_of(real, synthetic),
        )
        findings.append(_distance(question, *parts))
        if column.kind == "date":
            findings.append(_months(question, *parts))
    return findings


def _distance(question: Question, real: pl.Series, synthetic: pl.Series) -> Finding:
    n, m = len(real), len(synthetic)
    if n < MIN_PATIENTS:
        return untested(question, "too few patients")
    if lack := absent(question, None, n, m):
        return lack
    is_date = real.dtype == pl.Date
    values = both(
        lambda series: (series.cast(pl.Int32) if is_date else series).cast(pl.Float64).to_numpy(),
        (real, synthetic),
    )
    if is_date:
        return finding(question, ks(*values), max(LIMIT_D, ks_of_chance(n, m)))
    # the median is what people read
    first, second = (Estimate(value=float(np.median(one)), n=len(one)) for one in values)
    return finding(question, ks(*values), max(LIMIT_D, ks_of_chance(n, m)), first, second)


def _months(question: Question, real: pl.Series, synthetic: pl.Series) -> Finding:
    about = question.of(
        f"{question.what}: patients by month", measure="1 - correlation of monthly counts", unit=""
    )
    n, m = len(real), len(synthetic)
    if n < MIN_PATIENTS or m < 1:
        return untested(about, "too few patients")
    months = both(lambda series: series.dt.strftime("%Y-%m").to_frame("month"), (real, synthetic))
    first, second = counts(months, "month")
    shares = first / n
    if len(shares) < 3:
        return untested(about, "fewer than three months")
    draw = np.random.default_rng(1)
    losses = [
        1 - _correlation(draw.multinomial(n, shares), draw.multinomial(m, shares))
        for _ in range(DRAWS)
    ]
    limit = float(np.quantile(losses, 0.99))
    if limit > FLAT:
        return untested(about, "months hardly differ")
    distance = 1 - _correlation(first, second)
    return finding(about, distance, max(LIMIT_CORRELATION, limit))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """0 where either does not vary."""
    a, b = first - first.mean(), second - second.mean()
    length = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / length if length > 0 else 0.0


ANALYSIS = Analysis(number="A2", name="Ages and dates", needs=(), run=run)
