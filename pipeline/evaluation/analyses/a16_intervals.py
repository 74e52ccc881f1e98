"""A16: days from diagnosis to surgery, from surgery to adjuvant drugs, from the last drug cycle to
radiotherapy: tenth, half and nine tenths of the patients. Limits: 10% or 5 days.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Question,
    both,
    difference,
    scale_of,
    untested,
)
from pipeline.evaluation.analyses.estimates import quantile
from pipeline.evaluation.analyses.registry_patients import NEEDS, registry_patients
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

LIMIT_SHARE, LIMIT_DAYS = 0.1, 5.0
QUANTILES = {0.1: "a tenth", 0.5: "half", 0.9: "nine tenths"}
INTERVALS = (
    "Diagnosis to surgery",
    "Surgery to adjuvant drugs",
    "Last drug cycle to radiotherapy",
)
LONGEST = 365  # days: what comes later is another course


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    question = Question(
        analysis="A16",
        what="",
        measure="difference of the quantile, in days",
        unit="days",
        scale=scale_of(real, synthetic),
    )
    lengths = both(lambda log: intervals(schema, log), (real, synthetic))
    findings = []
    for name in INTERVALS:
        days = lengths[0][name], lengths[1][name]
        if len(days[0]) < MIN_PATIENTS:
            findings.append(untested(question.of(name), "too few patients"))
            continue
        for share, part in QUANTILES.items():
            estimates = quantile(days[0], share), quantile(days[1], share)
            limit = max(LIMIT_DAYS, LIMIT_SHARE * abs(estimates[0].value))
            about = question.of(f"{name}: until {part} of the patients")
            findings.append(difference(about, *estimates, limit))
    return findings


def intervals(schema: Schema, log: PatientLog) -> dict[str, np.ndarray]:
    """Days by interval, one value per patient who has it; the first of each kind."""
    rows = registry_patients(schema, log)
    events = log.pathways.join(rows.select(ID, "resection_day", "radiotherapy_day"), on=ID)
    kind, day = pl.col("type"), pl.col("day")
    firsts = events.group_by(ID).agg(
        pl.col("resection_day").first(),
        pl.col("radiotherapy_day").first(),
        adjuvant=day.filter(
            (kind == "SACT_REGIMEN") & (pl.col("intent") == "A") & (day >= pl.col("resection_day"))
        ).min(),
        cycle=day.filter((kind == "SACT_CYCLE") & (day <= pl.col("radiotherapy_day"))).max(),
    )
    lengths = firsts.select(
        pl.col("resection_day").alias(INTERVALS[0]),
        (pl.col("adjuvant") - pl.col("resection_day")).alias(INTERVALS[1]),
        (pl.col("radiotherapy_day") - pl.col("cycle")).alias(INTERVALS[2]),
    )
    return {
        name: lengths[name].drop_nulls().clip(upper_bound=LONGEST).to_numpy() for name in INTERVALS
    }


ANALYSIS = Analysis(
    number="A16",
    name="Intervals between treatments",
    needs=(*NEEDS, "SACT_CYCLE", "intent"),
    run=run,
)
