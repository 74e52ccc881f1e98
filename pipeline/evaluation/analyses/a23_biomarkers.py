"""A23: abnormal EGFR among tested lung cancers by sex and ethnicity, its hazard ratio in stage 4,
and trastuzumab given to HER2-positive breast cancers.

The log has the registry's overall status of a test, not its variants. Limits: 5 points; odds and
hazard ratios by sampling error (overlap of intervals .5).
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Frames,
    Question,
    both,
    coefficient_difference,
    difference,
    proportions,
    scale_of,
    strata,
    untested,
)
from pipeline.evaluation.analyses.registry_patients import NEEDS, registry_patients
from pipeline.evaluation.analyses.regressions import Model, cox, logit
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

LIMIT, LIMIT_RATIO = 5.0, 0.1
GENE, ABNORMAL, TESTED = "EGFR", "a:abnormal", ("a:abnormal", "b:normal")


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    question = Question(
        analysis="A23",
        what="EGFR abnormal",
        measure="difference, in points",
        unit="%",
        scale=scale_of(real, synthetic),
    )
    frames = both(lambda log: tested(schema, log), (real, synthetic))
    return [
        *_shares(question, frames),
        *_ratios(question, frames),
        *_trastuzumab(question, both(lambda log: her2_positive(schema, log), (real, synthetic))),
    ]


def tested(schema: Schema, log: PatientLog) -> pl.DataFrame:
    """Lung patients with a clear EGFR test: `is_abnormal`, `egfr`, `asian`."""
    tests = (
        log.pathways.filter(
            (pl.col("type") == "GENE_TEST")
            & (pl.col("code") == GENE)
            & pl.col("gene_status").is_in(TESTED)
        )
        .group_by(ID)
        .agg(is_abnormal=(pl.col("gene_status") == ABNORMAL).any())
    )
    return (
        registry_patients(schema, log)
        .filter(pl.col("SITE_GROUP") == "Lung")
        .join(tests, on=ID)
        .with_columns(
            egfr=pl.col("is_abnormal").cast(pl.Float64),
            asian=(pl.col("ethnic_group") == "Asian").cast(pl.Float64),
            all=pl.lit("lung, tested"),
        )
    )


def _shares(question: Question, frames: Frames) -> list[Finding]:
    findings = []
    for column, names in (
        ("all", {}),
        ("GENDER", {"1": "men", "2": "women"}),
        ("ethnic_group", {}),
    ):
        for (value,), parts in strata(frames, [column], 5):
            about = question.of(f"{question.what}: {names.get(value, value)}")
            findings.append(difference(about, *proportions(parts, "is_abnormal"), LIMIT))
    return findings or [untested(question, "too few tested patients")]


def _ratios(question: Question, frames: Frames) -> list[Finding]:
    odds = question.of(
        "EGFR abnormal, men against women",
        measure="difference of log odds ratios",
        unit="odds ratio",
    )
    hazards = question.of(
        "EGFR abnormal, stage 4: hazard of death",
        measure="difference of log hazard ratios",
        unit="hazard ratio",
    )
    late = both(lambda rows: rows.filter(pl.col("STAGE_GROUP") == "4"), frames)
    return [
        _one(
            odds, both(lambda rows: logit(rows, "is_abnormal", ["male", "asian"]), frames), "male"
        ),
        _one(hazards, both(lambda rows: cox(rows, ["egfr", "age10", "male"]), late), "egfr"),
    ]


def _one(question: Question, models: tuple[Model | None, Model | None], term: str) -> Finding:
    first, second = (model.coefficients.get(term) if model else None for model in models)
    if first is None:
        return untested(question, "too few cases")
    return coefficient_difference(question, first, second, LIMIT_RATIO)


def her2_positive(schema: Schema, log: PatientLog) -> pl.DataFrame:
    """HER2-positive breast patients: `has_trastuzumab`, in any regimen."""
    regimens = (
        log.pathways.filter(pl.col("type") == "SACT_REGIMEN")
        .group_by(ID)
        .agg(has_trastuzumab=pl.col("code").str.contains("TRASTUZUMAB").any())
    )
    return (
        registry_patients(schema, log)
        .filter((pl.col("SITE_GROUP") == "Breast") & (pl.col("HER2_STATUS") == "P"))
        .join(regimens, on=ID, how="left")
        .with_columns(pl.col("has_trastuzumab").fill_null(False))
    )


def _trastuzumab(question: Question, frames: Frames) -> list[Finding]:
    about = question.of("HER2-positive breast cancer: trastuzumab")
    if len(frames[0]) < MIN_PATIENTS:
        return [untested(about, "too few patients")]
    return [difference(about, *proportions(frames, "has_trastuzumab"), LIMIT)]


ANALYSIS = Analysis(
    number="A23",
    name="Biomarkers",
    needs=(*NEEDS, "GENE_TEST", "gene_status", "HER2_STATUS", "ETHNICITY"),
    run=run,
)
