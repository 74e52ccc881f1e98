"""A1: shares of the values of each column, and of the first code of each type of event.

Numbers and dates in 20 quantile bins of the real table; missing is a value. Limits: TVD .02.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.evaluation import fidelity
from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Question,
    counts,
    scale_of,
    share_distance,
)
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

LIMIT = 0.02


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    if min(len(real.patients), len(synthetic.patients)) == 0:
        return []
    question = Question(
        analysis="A1",
        what="",
        measure="total variation distance beyond chance",
        scale=scale_of(real, synthetic),
    )
    first, second = fidelity.binned(real.patients, synthetic.patients, schema.patients)
    findings = []
    for name in first:
        size = int(max(first[name].max(), second[name].max())) + 1
        tables = _counts(first[name], size), _counts(second[name], size)
        findings.append(share_distance(question.of(words.title(name)), *tables, LIMIT))
    return findings + _events(schema, real, synthetic, question)


def _counts(codes: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(codes, minlength=size).astype(float)


def _events(
    schema: Schema, real: PatientLog, synthetic: PatientLog, question: Question
) -> list[Finding]:
    """Which code a patient's first event of a type has, and whether there is such an event."""
    if schema.events is None:
        return []
    findings = []
    for name, kind in schema.events.types.items():
        firsts = _first_codes(real, name), _first_codes(synthetic, name)
        if firsts[0]["code"].count() < MIN_PATIENTS:
            continue
        what = f"First {words.title(name).lower()}" + (": code" if kind.codes else ": any")
        findings.append(share_distance(question.of(what), *counts(firsts, "code"), LIMIT))
    return findings


def _first_codes(log: PatientLog, kind: str) -> pl.DataFrame:
    """`code`: one value per patient, null where there is no such event."""
    firsts = (
        log.pathways.filter(pl.col("type") == kind)
        .sort(ID, "seq")
        .group_by(ID, maintain_order=True)
        .agg(pl.col("code").first().fill_null("any"))
    )
    return log.patients.select(ID).join(firsts, on=ID, how="left").select("code")


ANALYSIS = Analysis(number="A1", name="Shares of each value", needs=(), run=run)
