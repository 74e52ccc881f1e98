"""A3: how columns go together, for every pair: Cramer's V and the two-way TVD.

Numbers in 10 quantile bins, columns of many values cut to their 14 commonest. V is corrected for
its bias (Bergsma 2013, J. Korean Stat. Soc. 42(3)). Limits: mean difference of V .03, 90th
percentile of the TVD .08; each pair that the declaration names is a finding of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Question,
    finding,
    scale_of,
    share_distance,
    untested,
)
from pipeline.evaluation.analyses.estimates import SKEW_99, tvd, tvd_of_chance
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Column, Schema

LIMIT_V, LIMIT_TVD = 0.03, 0.08
BINS, MAX_VALUES = 10, 14
MAX_ROWS = 100_000  # patients; more are sampled


@dataclass(frozen=True)
class Codes:
    """Of a column in both tables: integers below `size`."""

    real: np.ndarray
    synthetic: np.ndarray
    size: int


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    question = Question(
        analysis="A3",
        what="All pairs of columns",
        measure="total variation distance beyond chance",
        scale=scale_of(real, synthetic),
    )
    frames = _sample(real.patients), _sample(synthetic.patients)
    if len(frames[0]) < MIN_PATIENTS or len(frames[1]) == 0 or len(schema.patients) < 2:
        return [untested(question, "too few patients")]
    codes = {name: _codes(column, *frames) for name, column in schema.patients.items()}
    tables = {pair: _tables(codes, *pair) for pair in combinations(codes, 2)}
    findings = [_associations(question, codes, tables), _distances(question, tables)]
    for pair in dict.fromkeys(pair for pair in schema.related if len(pair) == 2):
        cells = tables.get(pair) or tables[pair[1], pair[0]]
        what = f"{words.title(pair[0])} by {words.title(pair[1]).lower()}"
        findings.append(share_distance(question.of(what), *cells, LIMIT_TVD))
    return findings


def _sample(patients: pl.DataFrame) -> pl.DataFrame:
    return patients if len(patients) <= MAX_ROWS else patients.sample(MAX_ROWS, seed=1)


def _codes(column: Column, real: pl.DataFrame, synthetic: pl.DataFrame) -> Codes:
    """Real quantile bins or commonest real values, then the rest, then missing."""
    series = [frame[column.name] for frame in (real, synthetic)]
    if column.is_numeric:
        parts = [(s.cast(pl.Int32) if s.dtype == pl.Date else s).cast(pl.Float64) for s in series]
        present = parts[0].drop_nulls().to_numpy()
        inner = np.linspace(0, 1, BINS + 1)[1:-1]
        edges = np.unique(np.quantile(present, inner)) if len(present) else np.zeros(0)
        missing = len(edges) + 1
        arrays = [
            np.where(
                part.is_null().to_numpy(),
                missing,
                np.searchsorted(edges, part.fill_null(0.0).to_numpy(), side="right"),
            )
            for part in parts
        ]
        return Codes(arrays[0], arrays[1], missing + 1)
    texts = [s.cast(pl.String) for s in series]
    commonest = texts[0].drop_nulls().value_counts(sort=True, name="n").head(MAX_VALUES)
    index = {value: place for place, value in enumerate(commonest[commonest.columns[0]])}
    rest = len(index)
    coded = [
        text.replace_strict(index, default=rest, return_dtype=pl.Int64).to_numpy().copy()
        for text in texts
    ]
    for array, text in zip(coded, texts, strict=True):
        array[text.is_null().to_numpy()] = rest + 1
    return Codes(coded[0], coded[1], rest + 2)


def _tables(codes: Mapping[str, Codes], left: str, right: str) -> tuple[np.ndarray, np.ndarray]:
    a, b = codes[left], codes[right]
    size = a.size * b.size
    return (
        np.bincount(a.real * b.size + b.real, minlength=size).astype(float),
        np.bincount(a.synthetic * b.size + b.synthetic, minlength=size).astype(float),
    )


def cramers_v(table: np.ndarray) -> float:
    """Bias-corrected; 0 where a side has one value only."""
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    (rows, columns), n = table.shape, table.sum()
    if min(rows, columns) < 2 or n < 2:
        return 0.0
    expectation = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi = float(((table - expectation) ** 2 / expectation).sum() / n)
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (n - 1))
    side = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1))
    return math.sqrt(phi / (side - 1)) if side > 1 else 0.0


def _associations(
    question: Question,
    codes: Mapping[str, Codes],
    tables: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]],
) -> Finding:
    gaps = []
    for (left, right), cells in tables.items():
        shape = (codes[left].size, codes[right].size)
        first, second = (cramers_v(table.reshape(shape)) for table in cells)
        gaps.append(abs(first - second))
    n, m = (float(table.sum()) for table in next(iter(tables.values())))
    # V of a two-by-two table has a standard error of about 1 / sqrt n, of a larger one less
    limit = max(LIMIT_V, math.sqrt(1 / n + 1 / m))
    about = question.of(question.what, measure="mean difference of Cramer's V")
    return finding(about, float(np.mean(gaps)), limit)


def _distances(
    question: Question, tables: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]
) -> Finding:
    excesses, deviations = [], []
    for real, synthetic in tables.values():
        expectation, deviation = tvd_of_chance(real, synthetic)
        excesses.append(max(0.0, tvd(real, synthetic) - expectation))
        deviations.append(deviation)
    about = question.of(question.what, measure="90th percentile of TVD beyond chance")
    limit = max(LIMIT_TVD, SKEW_99 * max(deviations))
    return finding(about, float(np.quantile(excesses, 0.9)), limit)


ANALYSIS = Analysis(number="A3", name="Pairs of columns", needs=(), run=run)
