"""A4: patients by site, sex and five-year age band, as shares of all patients.

The log has no population at risk, so these are counts, not rates. Limits: relative error 10% in
cells of 500 real patients or more; the 60 largest such cells, and the ten commonest sites by sex.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import MIN_PATIENTS, Question, absent, finding
from pipeline.evaluation.analyses.estimates import Z99, proportion
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

LIMIT, MIN_CELL, MAX_CELLS, BAND = 0.10, 500, 60, 5
MAX_SITES = 20  # sites by sex
CELL = ["SITE_GROUP", "GENDER", "band"]


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    frames = _with_bands(real.patients), _with_bands(synthetic.patients)
    totals = len(frames[0]), len(frames[1])
    question = Question(
        analysis="A4",
        what="",
        measure="relative difference of the share of patients",
        unit="%",
        scale=totals[1] / max(totals[0], 1),
    )
    findings = []
    for columns, least, most in (
        (CELL[:2], MIN_PATIENTS, MAX_SITES),
        (CELL, MIN_CELL, MAX_CELLS),
    ):
        sizes = frames[0].drop_nulls(columns).group_by(columns).len().filter(pl.col("len") >= least)
        cells = sizes.sort("len", *columns, descending=[True] + [False] * len(columns)).head(most)
        other = frames[1].group_by(columns).len()
        both = cells.join(other, on=columns, how="left", maintain_order="left")
        for row in both.with_columns(pl.col("len_right").fill_null(0)).iter_rows(named=True):
            what = _words(schema, row)
            findings.append(_cell(question.of(what), row["len"], row["len_right"], totals))
    return findings


def _with_bands(patients: pl.DataFrame) -> pl.DataFrame:
    """`band`: the first year of the age band."""
    return patients.with_columns(band=pl.col("AGE").cast(pl.Int64, strict=False) // BAND * BAND)


def _words(schema: Schema, row: dict) -> str:
    sex = words.value(schema, "GENDER", row["GENDER"]).lower()
    band = f", {row['band']} to {row['band'] + BAND - 1} years" if "band" in row else ""
    return f"{row['SITE_GROUP']}, {sex}{band}"


def _cell(question: Question, real: int, synthetic: int, totals: tuple[int, int]) -> Finding:
    shares = proportion(real, totals[0]), proportion(synthetic, totals[1])
    if lack := absent(question, shares[0], real, synthetic):
        return lack
    ratio = (synthetic / totals[1]) / (real / totals[0])
    error = math.sqrt(max(0.0, 1 / real - 1 / totals[0] + 1 / synthetic - 1 / totals[1]))
    return finding(question, abs(ratio - 1), max(LIMIT, math.expm1(Z99 * error)), *shares)


ANALYSIS = Analysis(
    number="A4",
    name="Incidence by site, sex and age",
    needs=("SITE_GROUP", "GENDER", "AGE"),
    run=run,
)
