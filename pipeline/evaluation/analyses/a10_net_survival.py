"""A10: net survival after 1 and 5 years by site and stage (Ederer II: observed survival over the
expected survival of those still at risk, by quarters of a year).

Expected deaths: Gompertz hazards of England 2016 to 2018 by age and sex with a factor by
deprivation (simulator.md 3.6: approximate, no official life table). The same on both tables, so the
comparison does not hang on them. Limits: 3 points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import (
    MIN_EVENTS,
    Question,
    absent,
    both,
    difference,
    scale,
    strata,
)
from pipeline.evaluation.analyses.estimates import DAYS_PER_YEAR, Z95
from pipeline.evaluation.analyses.registry_patients import NEEDS, registry_patients
from pipeline.evaluation.findings import Analysis, Estimate, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

LIMIT = 3.0
YEARS, QUARTERS = (1, 5), 20
MAX_ROWS, MAX_GROUPS, MIN_WATCHED = 50_000, 30, 30
GOMPERTZ = {True: (-11.12, 0.103), False: (-12.03, 0.110)}  # men: log hazard at 0, slope per year
DEPRIVATION = (0.78, 0.87, 0.97, 1.12, 1.35)  # factor from the least to the most deprived fifth
OLDEST = 105.0


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    needs = ["age10", "male", "deprivation", "days", "died"]
    frames = both(lambda log: registry_patients(schema, log).drop_nulls(needs), (real, synthetic))
    question = Question(
        analysis="A10",
        what="",
        measure="difference of net survival, in points",
        unit="%",
        scale=scale(frames),
    )
    findings = []
    for columns, n in ((["SITE_GROUP"], 10), (["SITE_GROUP", "STAGE_GROUP"], MAX_GROUPS)):
        for values, parts in strata(frames, columns, n):
            if parts[0]["died"].sum() < MIN_EVENTS:
                continue
            label = ", ".join(
                words.value(schema, c, v) for c, v in zip(columns, values, strict=True)
            )
            findings += _net(question.of(label), *parts)
    return findings


def _net(question: Question, real: pl.DataFrame, synthetic: pl.DataFrame) -> list[Finding]:
    if lack := absent(question, None, len(real), len(synthetic)):
        return [lack]
    first, second = ederer(real), ederer(synthetic)
    return [
        difference(
            question.of(f"{question.what}: net survival after {words.years(year)}"),
            first[year],
            second[year],
            LIMIT,
        )
        for year in YEARS
        if int((real["days"] > year * DAYS_PER_YEAR).sum()) >= MIN_WATCHED
    ]


def ederer(rows: pl.DataFrame) -> dict[int, Estimate]:
    """Net survival in per cent by year, with Greenwood's error of the observed survival."""
    rows = rows if len(rows) <= MAX_ROWS else rows.sample(MAX_ROWS, seed=1)
    years = rows["days"].to_numpy() / DAYS_PER_YEAR
    died = rows["died"].to_numpy()
    age = 10 * rows["age10"].to_numpy() + 70
    male = rows["male"].to_numpy() > 0
    level = np.where(male, GOMPERTZ[True][0], GOMPERTZ[False][0])
    slope = np.where(male, GOMPERTZ[True][1], GOMPERTZ[False][1])
    factor = np.array(DEPRIVATION)[rows["deprivation"].to_numpy().astype(int) - 1]
    net, variance, estimates = 1.0, 0.0, {}
    for quarter in range(QUARTERS):
        start, end = quarter / 4, (quarter + 1) / 4
        at_risk = years >= start
        leaves = at_risk & (years < end)
        deaths = int((leaves & died).sum())
        n = at_risk.sum() - 0.5 * (leaves & ~died).sum()  # actuarial
        if n <= deaths:
            net = 0.0
        else:
            hazard = factor * np.exp(level + slope * np.minimum(age + start + 0.125, OLDEST)) / 4
            net *= (1 - deaths / n) / float(np.exp(-hazard[at_risk]).mean())
            variance += deaths / (n * (n - deaths))
        if end in YEARS:
            reach = Z95 * net * math.sqrt(max(variance, 1 / len(rows) ** 2))
            estimates[int(end)] = Estimate(
                value=100 * net, low=100 * (net - reach), high=100 * (net + reach), n=len(rows)
            )
    return estimates


ANALYSIS = Analysis(number="A10", name="Net survival", needs=(*NEEDS, "QUINTILE_2019"), run=run)
