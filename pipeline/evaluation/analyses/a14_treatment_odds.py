"""A14: who is treated: logistic models of resection, drugs and radiotherapy on age, performance
status, deprivation, Charlson score, stage and site.

domain: mean overlap of intervals .5 and the signs of clear coefficients; a coefficient .1 or
sampling error.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.evaluation.analyses.cohort import LABELS, NEEDS, cohort, single
from pipeline.evaluation.analyses.comparison import Question, both, commonest, scale
from pipeline.evaluation.analyses.regressions import Model, compared, logit, signs
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

TERMS = (
    "age10",
    "male",
    "poor_performance",
    "deprivation",
    "charlson",
    "stage2",
    "stage3",
    "stage4",
    "stage_unknown",
)
N_SITES = 15


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(lambda log: single(cohort(schema, log)), (real, synthetic))
    sites = commonest(frames[0], "SITE_GROUP", N_SITES)
    frames = both(lambda rows: _with_sites(rows, sites), frames)
    dummies = [_dummy(site) for site in sites[1:]]
    question = Question(
        analysis="A14",
        what="",
        measure="difference of log odds ratios",
        unit="odds ratio",
        scale=scale(frames),
    )
    findings: list[Finding] = []
    pairs = []
    for name, label in LABELS.items():
        first, second = (
            _without(logit(frame, name, [*TERMS, *dummies]), dummies) for frame in frames
        )
        findings += compared(question.of(label), first, second, least=0.5)
        pairs += [(first, second)] if first and second else []
    about = question.of(
        "All treatments: signs of clear coefficients", measure="share of other signs", unit=""
    )
    return [*findings, signs(about, pairs)]


def _dummy(site: str) -> str:
    return f"site {site}"


def _with_sites(rows: pl.DataFrame, sites: Sequence[str]) -> pl.DataFrame:
    """Patients of these sites, with a term for each but the first."""
    return rows.filter(pl.col("SITE_GROUP").is_in(sites)).with_columns(
        (pl.col("SITE_GROUP") == site).cast(pl.Float64).alias(_dummy(site)) for site in sites[1:]
    )


def _without(model: Model | None, names: Sequence[str]) -> Model | None:
    """The sites are there to be adjusted for, not to be reported."""
    if model is None:
        return None
    rest = {term: one for term, one in model.coefficients.items() if term not in names}
    return Model(rest, model.n)


ANALYSIS = Analysis(
    number="A14",
    name="Who is treated",
    needs=(*NEEDS, "QUINTILE_2019", "PERFORMANCESTATUS", "CHRL_TOT_27_03"),
    run=run,
)
