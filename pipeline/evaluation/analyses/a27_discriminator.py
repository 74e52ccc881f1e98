"""A27: whether a model tells synthetic from real patients: the propensity score's mean squared
error over what it is for two samples of one population (pMSE ratio, Snoke et al. 2018, J. R. Stat.
Soc. A 181(3), section 3).

Logistic model of at most 20,000 patients of each kind, with terms for every value, for how often
each type of event occurs, and for products of pairs of numbers, so that it sees columns that are
right one by one only. Limits: a ratio of 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl

from pipeline.evaluation.analyses.a26_prediction import matrix
from pipeline.evaluation.analyses.comparison import (
    MIN_PATIENTS,
    Question,
    finding,
    scale_of,
    untested,
)
from pipeline.evaluation.analyses.estimates import Z99
from pipeline.evaluation.findings import Analysis, Finding
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

LIMIT, MAX_ROWS = 3.0, 20_000
MAX_VALUES, MAX_PRODUCTS, MIN_ROWS = 12, 10, 20  # values and products of columns; patients
RIDGE, STEPS = 1e-6, 12


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    question = Question(
        analysis="A27",
        what="Synthetic or real, told by a logistic model",
        measure="pMSE over its expectation by chance",
        scale=scale_of(real, synthetic),
    )
    n, m = (min(MAX_ROWS, len(log.patients)) for log in (real, synthetic))
    if n < MIN_PATIENTS or m < MIN_PATIENTS:
        return [untested(question, "too few patients")]
    logs = (
        real.of(real.patients.sample(n, seed=1)),
        synthetic.of(synthetic.patients.sample(m, seed=1)),
    )
    design = features(schema, logs)
    labels = np.repeat([0.0, 1.0], [n, m])
    share, rank = m / (n + m), int(np.linalg.matrix_rank(design.T @ design, hermitian=True))
    error = float(((propensity(design, labels) - share) ** 2).mean())
    # (k - 1) c (1 - c) / N for k parameters, and the score's statistic is chi-squared in k - 1.
    # The paper's (1 - c) times as much is for draws of a model of these very real patients
    expectation = (rank - 1) * share * (1 - share) / (n + m)
    if rank < 2:
        return [untested(question, "no column varies")]
    limit = max(LIMIT, 1 + Z99 * math.sqrt(2 / (rank - 1)))
    return [finding(question, error / expectation, limit)]


def features(schema: Schema, logs: tuple[PatientLog, PatientLog]) -> np.ndarray:
    """A constant, the columns' values, the events' counts, products of the leading numbers."""
    patients = pl.concat([log.patients for log in logs], how="vertical_relaxed")
    columns = [np.ones(len(patients))]
    numbers = matrix(schema, list(schema.patients), patients)
    for place, column in enumerate(schema.patients.values()):
        values = numbers[:, place]
        columns += _indicators(values) if column.is_categorical else _moments(values)
    if schema.events is not None:
        columns += _event_counts(schema, logs)
    leading = [_standard(numbers[:, place]) for place in range(min(MAX_PRODUCTS, numbers.shape[1]))]
    columns += [a * b for a, b in combinations(leading, 2)]
    return np.column_stack([one for one in columns if one.std() > 0 or one is columns[0]])


def _indicators(values: np.ndarray) -> list[np.ndarray]:
    """One column for each of the commonest values; the rest and missing are the base."""
    present, sizes = np.unique(values[~np.isnan(values)], return_counts=True)
    order = np.argsort(-sizes, kind="stable")[:MAX_VALUES]
    chosen = [present[place] for place in order if sizes[place] >= MIN_ROWS]
    return [(values == one).astype(float) for one in chosen]


def _moments(values: np.ndarray) -> list[np.ndarray]:
    """The number, its square, and whether it is missing."""
    standard = _standard(values)
    return [standard, standard**2, np.isnan(values).astype(float)]


def _standard(values: np.ndarray) -> np.ndarray:
    """With mean 0 and deviation 1, within 3; 0 where missing."""
    if np.isnan(values).all():
        return np.zeros(len(values))
    deviation = float(np.nanstd(values))
    standard = (values - np.nanmean(values)) / deviation if deviation > 0 else values * 0.0
    return np.clip(np.nan_to_num(standard), -3, 3)


def _event_counts(schema: Schema, logs: tuple[PatientLog, PatientLog]) -> list[np.ndarray]:
    """Of each type: whether a patient has it, and the logarithm of how often."""
    assert schema.events is not None
    kinds = list(schema.events.types)
    frames = []
    for log in logs:
        each = log.pathways.group_by(ID).agg(
            pl.col("type").eq(kind).sum().alias(kind) for kind in kinds
        )
        frames.append(log.patients.select(ID).join(each, on=ID, how="left", maintain_order="left"))
    both_kinds = pl.concat(frames).select(pl.col(kinds).fill_null(0))
    times = [both_kinds[kind].to_numpy().astype(float) for kind in kinds]
    return [one for n in times for one in ((n > 0).astype(float), np.log1p(n))]


def propensity(design: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fitted probabilities of a logistic model, by Newton's method with a slight ridge."""
    weights = np.zeros(design.shape[1])
    ridge = RIDGE * len(labels) * np.eye(design.shape[1])
    for _ in range(STEPS):
        shares = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        curvature = design.T @ (design * (shares * (1 - shares))[:, None]) + ridge
        step = np.linalg.solve(curvature, design.T @ (labels - shares) - ridge @ weights)
        weights = weights + step
        if np.abs(step).max() < 1e-6:
            break
    return 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))


ANALYSIS = Analysis(number="A27", name="Telling synthetic from real", needs=(), run=run)
