"""A20: dose and fractions of radiotherapy by site and intent: shares of the five commonest
schedules, and share of curative courses within the bands of NDRS.

A course without a recorded intent is palliative (the registry has no code for that). The log holds
prescribed schedules, not the doses that were given. Limits: 4 points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from pipeline.evaluation.analyses.comparison import (
    Frames,
    Question,
    absent,
    both,
    counts,
    difference,
    finding,
    proportions,
    scale_of,
    strata,
)
from pipeline.evaluation.analyses.estimates import Z99
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

LIMIT, TOP_SCHEDULES = 4.0, 5
Band = tuple[float, float, int, int]  # lowest and highest dose (Gy), fewest and most fractions
# NDRS radiotherapy fractionation report, as in simulator.md 3.5
BANDS: Mapping[str, tuple[Band, ...]] = {
    "Breast": ((39, 41, 15, 15), (25, 27, 5, 5)),
    "Prostate": (
        (52.5, 60, 20, 20),
        (66, 78, 33, 39),
        (46, 50, 23, 25),
        (36.25, 36.25, 5, 5),
        (37.5, 37.5, 15, 15),
    ),
    "Lung": ((40, 55, 15, 20), (45, 66, 25, 33), (30, 60, 1, 8), (54, 54, 36, 36)),
    "Rectum": ((45, 50.4, 25, 28), (25, 25, 5, 5)),
    "Head and neck": ((65, 70, 30, 35), (59, 67, 28, 30), (50, 55, 16, 20), (54, 60, 30, 30)),
    "Oesophagus": ((50, 66, 25, 30), (41.4, 45, 23, 28), (40, 55, 15, 20)),
    "Cervix": ((45, 50.4, 25, 28),),
    "Bladder": ((52.5, 55, 20, 20), (60, 64, 30, 32)),
    "Brain": ((59.4, 60, 30, 33), (40, 40, 15, 15)),
}


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = both(courses, (real, synthetic))
    question = Question(
        analysis="A20",
        what="",
        measure="largest difference of a share of the five commonest, in points",
        scale=scale_of(real, synthetic),
    )
    findings = []
    for (site, aim), parts in strata(frames, ["SITE_GROUP", "aim"], 20):
        about = question.of(f"{site}, {aim}: schedules")
        findings.append(_schedules(about, parts))
        if aim == "curative" and site in BANDS:
            within = with_bands(parts[0], BANDS[site]), with_bands(parts[1], BANDS[site])
            inside = question.of(
                f"{site}, {aim}: within the bands of NDRS",
                measure="difference, in points",
                unit="%",
            )
            findings.append(difference(inside, *proportions(within, "is_inside"), LIMIT))
    return findings


def courses(log: PatientLog) -> pl.DataFrame:
    """The first course of each patient and aim: site, `aim`, schedule `code`, `dose`,
    `fractions`.
    """
    parts = pl.col("code").str.split("/")
    return (
        log.pathways.filter((pl.col("type") == "RADIOTHERAPY") & pl.col("code").is_not_null())
        .sort(ID, "seq")
        .with_columns(
            aim=pl.when(pl.col("rt_intent").is_null())
            .then(pl.lit("palliative"))
            .otherwise(pl.lit("curative")),
            dose=parts.list.get(0, null_on_oob=True).cast(pl.Float64, strict=False),
            fractions=parts.list.get(1, null_on_oob=True).cast(pl.Int64, strict=False),
        )
        .unique([ID, "aim"], keep="first", maintain_order=True)
        .join(log.patients.select(ID, "SITE_GROUP"), on=ID)
        .select(ID, "SITE_GROUP", "aim", "code", "dose", "fractions")
    )


def _schedules(question: Question, parts: Frames) -> Finding:
    n, m = len(parts[0]), len(parts[1])
    if lack := absent(question, None, n, m):
        return lack
    first, second = counts(parts, "code")
    shares = first[:TOP_SCHEDULES] / n, second[:TOP_SCHEDULES] / m
    pool = (shares[0] * n + shares[1] * m) / (n + m)
    errors = np.sqrt(pool * (1 - pool) * (1 / n + 1 / m))
    # the largest of five differences: a further half standard deviation
    chance = 100 * (Z99 + 0.5) * float(errors.max())
    return finding(question, 100 * float(np.abs(shares[0] - shares[1]).max()), max(LIMIT, chance))


def with_bands(rows: pl.DataFrame, bands: tuple[Band, ...]) -> pl.DataFrame:
    """`is_inside`: whether the schedule lies in one of the bands."""
    inside = [
        pl.col("dose").is_between(low, high) & pl.col("fractions").is_between(fewest, most)
        for low, high, fewest, most in bands
    ]
    return rows.with_columns(is_inside=pl.any_horizontal(inside).fill_null(False))


ANALYSIS = Analysis(
    number="A20",
    name="Radiotherapy schedules",
    needs=("SITE_GROUP", "RADIOTHERAPY", "rt_intent"),
    run=run,
)
