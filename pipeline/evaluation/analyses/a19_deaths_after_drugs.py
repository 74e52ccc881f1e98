"""A19: deaths within 30 days of the last drug cycle, by intent of the last regimen.

The log has cycles, not each administration, so day 0 is the last cycle's start. Limits: 1 point.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.evaluation.analyses.comparison import (
    MIN_EVENTS,
    Question,
    both,
    difference,
    proportions,
    scale_of,
    strata,
    untested,
)
from pipeline.evaluation.analyses.survival import outcomes
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

LIMIT, DAYS = 1.0, 30
INTENTS = {
    "C": "curative",
    "01": "curative",
    "A": "adjuvant",
    "N": "neoadjuvant",
    "P": "palliative",
    "02": "palliative",
    "D": "disease modification",
    "03": "disease modification",
}


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(lambda log: after_drugs(schema, log), (real, synthetic))
    question = Question(
        analysis="A19",
        what="Dead within 30 days of the last cycle",
        measure="difference, in points",
        unit="%",
        scale=scale_of(real, synthetic),
    )
    findings = []
    for column in ("all", "intent"):
        for (intent,), parts in strata(frames, [column]):
            about = question.of(f"{question.what}: {intent}")
            if parts[0]["early"].sum() < MIN_EVENTS:
                findings.append(untested(about, "too few deaths"))
                continue
            findings.append(difference(about, *proportions(parts, "early"), LIMIT))
    return findings


def after_drugs(schema: Schema, log: PatientLog) -> pl.DataFrame:
    """Patients with a drug regimen: `intent` in words, `early`: dead within 30 days."""
    kind = pl.col("type")
    last = (
        log.pathways.filter(kind.is_in(["SACT_REGIMEN", "SACT_CYCLE"]))
        .sort(ID, "seq")
        .group_by(ID)
        .agg(
            last=pl.col("day").max(), intent=pl.col("intent").filter(kind == "SACT_REGIMEN").last()
        )
    )
    return last.join(outcomes(schema, log).select(ID, "days", "died"), on=ID).with_columns(
        all=pl.lit("any intent"),
        intent=pl.col("intent").replace_strict(INTENTS, default=None, return_dtype=pl.String),
        early=pl.col("died") & (pl.col("days") - pl.col("last") <= DAYS),
    )


ANALYSIS = Analysis(
    number="A19",
    name="Deaths after drugs",
    needs=("SACT_REGIMEN", "SACT_CYCLE", "DEATH", "intent"),
    run=run,
)
