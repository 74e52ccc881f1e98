"""A18: cycles in a regimen, and how regimens end: outcome, dose reduced, delayed, stopped early.

By patient's mean, so that a patient of many regimens counts once in the error. Limits: mean .3
cycles; TVD .05, and 5 points for a yes-or-no. A regimen without a recorded end has no outcome.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Question,
    both,
    counts,
    difference,
    scale_of,
    share_distance,
    untested,
)
from pipeline.evaluation.analyses.estimates import mean
from pipeline.evaluation.findings import Analysis, Estimate, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

LIMIT_MEAN, LIMIT_TVD, LIMIT = 0.3, 0.05, 5.0
CHANGES = ("dose reduced", "delayed", "stopped early")  # letters of `modified`


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    question = Question(
        analysis="A18",
        what="Cycles of a regimen",
        measure="difference of the mean",
        unit="cycles",
        scale=scale_of(real, synthetic),
    )
    cycles = both(cycles_per_regimen, (real, synthetic))
    if len(cycles[0]) < MIN_PATIENTS:
        return [untested(question, "too few patients")]
    ends = both(lambda log: log.pathways.filter(pl.col("type") == "SACT_END"), (real, synthetic))
    sizes = (float(ends[0][ID].n_unique()), float(ends[1][ID].n_unique()))
    outcome = question.of(
        "Outcome of a regimen", measure="total variation distance beyond chance", unit=""
    )
    findings = [difference(question, *both(mean, cycles), LIMIT_MEAN)]
    if sizes[0] >= MIN_PATIENTS:
        findings.append(share_distance(outcome, *counts(ends, "code"), LIMIT_TVD, sizes))
    if "modified" not in ends[0].columns:
        return findings
    for place, label in enumerate(CHANGES):
        shares = _share(ends[0], place), _share(ends[1], place)
        about = question.of(f"Regimen {label}", measure="difference, in points", unit="%")
        if shares[0].n >= MIN_PATIENTS:
            findings.append(difference(about, *shares, LIMIT))
    return findings


def cycles_per_regimen(log: PatientLog) -> np.ndarray:
    """Of each patient with a regimen: drug cycles by drug regimens."""
    kind = pl.col("type")
    each = (
        log.pathways.filter(kind.is_in(["SACT_REGIMEN", "SACT_CYCLE"]))
        .group_by(ID)
        .agg(regimens=(kind == "SACT_REGIMEN").sum(), cycles=(kind == "SACT_CYCLE").sum())
        .filter(pl.col("regimens") > 0)
    )
    return (each["cycles"] / each["regimens"]).to_numpy()


def _share(ends: pl.DataFrame, place: int) -> Estimate:
    """In per cent, mean over patients of the share of their regimens."""
    each = (
        ends.drop_nulls("modified")
        .group_by(ID)
        .agg(share=100 * (pl.col("modified").str.slice(place, 1) == "Y").mean())
    )
    return mean(each["share"].to_numpy())


ANALYSIS = Analysis(
    number="A18", name="Drug cycles", needs=("SACT_REGIMEN", "SACT_CYCLE", "SACT_END"), run=run
)
