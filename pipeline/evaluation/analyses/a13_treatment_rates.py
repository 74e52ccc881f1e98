"""A13: resection, anti-cancer drugs and radiotherapy by site, and the eight combinations of the
three by site and stage, in the windows of NDRS (registry_patients.py).

The log names no tumour of a treatment, so patients of several tumours within 548 days are left
out. Limits: 3 points; TVD .06.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import (
    Frames,
    Question,
    both,
    difference,
    proportions,
    scale,
    share_distance,
    strata,
)
from pipeline.evaluation.analyses.registry_patients import (
    LABELS,
    NEEDS,
    TREATMENTS,
    registry_patients,
    single,
)
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

LIMIT, LIMIT_TVD = 3.0, 0.06
MAX_GROUPS = 30


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(
        lambda log: single(registry_patients(schema, log)),
        (real, synthetic),
    )
    question = Question(
        analysis="A13",
        what="",
        measure="difference of the share who have it, in points",
        unit="%",
        scale=scale(frames),
    )
    findings = []
    for column, n in (("all", 1), ("SITE_GROUP", 10)):
        for (site,), parts in strata(frames, [column], n):
            findings += rates(question.of(site), parts)
            findings.append(_combinations(question.of(site), parts))
    for (site, stage), parts in strata(frames, ["SITE_GROUP", "STAGE_GROUP"], MAX_GROUPS):
        label = words.site_and_stage(site, stage)
        findings += rates(question.of(label), parts)
        findings.append(_combinations(question.of(label), parts))
    return findings


def rates(question: Question, parts: Frames) -> list[Finding]:
    """Share of patients with each of the three treatments."""
    return [
        difference(
            question.of(f"{question.what}: {label.lower()}"),
            *proportions(parts, name),
            LIMIT,
        )
        for name, label in LABELS.items()
    ]


def _combinations(question: Question, parts: Frames) -> Finding:
    tables = [
        np.bincount(
            sum(
                part[name].cast(pl.Int64).to_numpy() << place
                for place, name in enumerate(TREATMENTS)
            ),
            minlength=2 ** len(TREATMENTS),
        ).astype(float)
        for part in parts
    ]
    about = question.of(
        f"{question.what}: combinations of treatments",
        measure="total variation distance beyond chance",
        unit="",
    )
    return share_distance(about, tables[0], tables[1], LIMIT_TVD)


ANALYSIS = Analysis(number="A13", name="Treatment rates", needs=NEEDS, run=run)
