"""A24: three facts at once: alive more than 90 days after starting a given drug regimen in stage 4,
for breast and the other commonest sites.

The Simulacrum's known weak spot. Limit: 5 points where 200 real patients or more had
the regimen; breast is reported as insufficient where it has none of that size.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.evaluation.analyses.comparison import (
    Question,
    both,
    difference,
    proportions,
    scale_of,
    strata,
    untested,
)
from pipeline.evaluation.analyses.registry_patients import NEEDS, registry_patients
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

LIMIT, DAYS, MAX_GROUPS = 5.0, 90, 12


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(lambda log: after_regimen(schema, log), (real, synthetic))
    question = Question(
        analysis="A24",
        what="",
        measure="difference, in points",
        unit="%",
        scale=scale_of(real, synthetic),
    )
    findings = []
    for (site, regimen), parts in strata(frames, ["SITE_GROUP", "code"], MAX_GROUPS):
        about = question.of(
            f"{site}, stage 4, {regimen.capitalize()}: alive {DAYS} days after its start"
        )
        findings.append(difference(about, *proportions(parts, "is_alive"), LIMIT))
    if not any(one.what.startswith("Breast") for one in findings):
        about = question.of("Breast, stage 4, any one regimen")
        findings.append(untested(about, "insufficient: fewer than 200 patients"))
    return findings


def after_regimen(schema: Schema, log: PatientLog) -> pl.DataFrame:
    """Stage 4 patients by first start of each regimen: `is_alive`, null where the follow-up ends
    before.
    """
    starts = (
        log.pathways.filter((pl.col("type") == "SACT_REGIMEN") & pl.col("code").is_not_null())
        .group_by(ID, "code")
        .agg(start=pl.col("day").min())
    )
    rest = pl.col("days") - pl.col("start")
    return (
        registry_patients(schema, log)
        .filter(pl.col("STAGE_GROUP") == "4")
        .join(starts, on=ID)
        .with_columns(is_alive=pl.when(rest > DAYS).then(True).when(pl.col("died")).then(False))
    )


ANALYSIS = Analysis(number="A24", name="Three facts at once", needs=NEEDS, run=run)
