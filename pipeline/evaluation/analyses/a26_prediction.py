"""A26: a model fitted to synthetic patients and tested on real ones, beside one fitted to as many
real ones: death within a year from the facts at diagnosis, or the declaration's first target in a
dataset without deaths.

Gradient boosting on the static columns, at most 20,000 rows; half of the real patients are the
test. Limits: AUC .03; slope of the calibration (log odds of the synthetic model's prediction in the
test) .85 to 1.15 of the real model's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import polars as pl
import statsmodels.api as sm
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import (
    MIN_EVENTS,
    MIN_PATIENTS,
    Frames,
    Question,
    both,
    finding,
    scale_of,
    untested,
)
from pipeline.evaluation.analyses.estimates import DAYS_PER_YEAR, Z95, Z99, around
from pipeline.evaluation.analyses.survival import outcomes
from pipeline.evaluation.findings import Analysis, Estimate, Finding
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

MAX_ROWS = 20_000
LIMIT_AUC, LIMIT_SLOPE = 0.03, 0.15
LABEL = "_label"


def run(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Sequence[Finding]:
    if min(len(real.patients), len(synthetic.patients)) == 0:
        return []
    about, frames = outcomes_to_predict(schema, real, synthetic)
    question = Question(
        analysis="A26",
        what=about,
        measure="difference of AUC on real patients",
        unit="AUC",
        scale=scale_of(real, synthetic),
    )
    half = frames[0].sample(fraction=1.0, shuffle=True, seed=1)
    n = min(len(half) // 2, MAX_ROWS, len(frames[1]))
    parts = half[:n], frames[1].sample(n, seed=1), half[len(half) // 2 :][:MAX_ROWS]
    cases = [min(int(one[LABEL].sum()), int((~one[LABEL]).sum())) for one in parts]
    if n < MIN_PATIENTS or min(cases[0], cases[2]) < MIN_EVENTS:
        return [untested(question, "too few cases")]
    if cases[1] < MIN_EVENTS:
        return [untested(question, "too few synthetic cases")]
    features = [name for name in schema.patients if name in frames[0].columns]
    encoded = [matrix(schema, features, one) for one in parts]
    truth = parts[2][LABEL].to_numpy()
    scores = [_scores(encoded[i], parts[i][LABEL].to_numpy(), encoded[2]) for i in (0, 1)]
    return [_discrimination(question, truth, scores), _calibration(question, truth, scores)]


def outcomes_to_predict(
    schema: Schema, real: PatientLog, synthetic: PatientLog
) -> tuple[str, Frames]:
    """(words, frames with LABEL): death within a year where enough die, else the first target."""
    if schema.events is not None:
        frames = both(lambda log: _deaths(schema, log), (real, synthetic))
        if int(frames[0][LABEL].sum()) >= 2 * MIN_EVENTS:
            return "Death within a year", frames
    if not schema.targets:
        raise Refusal("no deaths and no target to predict")
    target = schema.targets[0]
    # a target of two values: the last; of more: the commonest real one
    values = schema.patients[target].categories
    one = values[-1] if len(values) == 2 else str(real.patients[target].drop_nulls().mode()[0])
    frames = both(lambda log: _with_target(log.patients, target, one), (real, synthetic))
    return f"{words.title(target)}: {words.value(schema, target, one)}", frames


def _with_target(patients: pl.DataFrame, target: str, value: str) -> pl.DataFrame:
    label = pl.col(target).cast(pl.String).eq(value).fill_null(False).alias(LABEL)
    return patients.with_columns(label).drop(target)


def _deaths(schema: Schema, log: PatientLog) -> pl.DataFrame:
    """Patients whose first year is known to its end or to their death."""
    dead = pl.col("died") & (pl.col("days") <= DAYS_PER_YEAR)
    return (
        outcomes(schema, log)
        .filter(dead | (pl.col("days") > DAYS_PER_YEAR))
        .with_columns(dead.alias(LABEL))
    )


def matrix(schema: Schema, names: Sequence[str], rows: pl.DataFrame) -> np.ndarray:
    """Numbers as they are, categories as their place in the declaration, NaN for missing."""
    columns: list[pl.Expr] = []
    for name in names:
        column = schema.patients[name]
        if column.is_categorical:
            index = {category: place for place, category in enumerate(column.categories)}
            text = pl.col(name).cast(pl.String)
            columns.append(text.replace_strict(index, default=None, return_dtype=pl.Float64))
        else:
            days = pl.col(name).cast(pl.Int32) if column.kind == "date" else pl.col(name)
            columns.append(days.cast(pl.Float64, strict=False))
    return rows.drop(ID, strict=False).select(columns).fill_null(math.nan).to_numpy()


def _scores(features: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    is_empty = np.isnan(features).all(axis=0)  # the library wants a value in every column
    features, test = features[:, ~is_empty], test[:, ~is_empty]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = HistGradientBoostingClassifier(
            max_iter=100, max_leaf_nodes=15, early_stopping=False, random_state=0
        )
        return np.asarray(model.fit(features, labels).predict_proba(test)[:, 1])


def _discrimination(question: Question, truth: np.ndarray, scores: Sequence[np.ndarray]) -> Finding:
    areas = [float(roc_auc_score(truth, one)) for one in scores]
    errors = [area_error(area, truth) for area in areas]
    # a synthetic model that is the better one is no loss; on the same test rows, with predictions
    # that go together, the errors of the two areas mostly cancel: half of their sum is left
    limit = max(LIMIT_AUC, Z99 * math.hypot(*errors) / 2)
    first, second = (around(area, one, len(truth)) for area, one in zip(areas, errors, strict=True))
    return finding(question, max(0.0, areas[0] - areas[1]), limit, first, second)


def area_error(area: float, truth: np.ndarray) -> float:
    """Standard error of an AUC (Hanley and McNeil 1982, Radiology 143(1))."""
    n, m = int(truth.sum()), int((~truth).sum())
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n - 1) * (first - area**2) + (m - 1) * (second - area**2)) / (
        n * m
    )
    return math.sqrt(max(variance, 0.0))


def _calibration(question: Question, truth: np.ndarray, scores: Sequence[np.ndarray]) -> Finding:
    about = question.of(
        f"{question.what}: slope of the calibration", measure="log ratio of slopes", unit="slope"
    )
    slopes = [_slope(truth, one) for one in scores]
    if min(slope.value for slope in slopes) <= 0:
        return finding(about, math.inf, LIMIT_SLOPE, *slopes)
    error = math.hypot(*(slope.high - slope.low for slope in slopes)) / (2 * Z95)
    distance = abs(math.log(slopes[1].value / slopes[0].value))
    return finding(about, distance, max(LIMIT_SLOPE, Z99 * error / slopes[0].value), *slopes)


def _slope(truth: np.ndarray, scores: np.ndarray) -> Estimate:
    inside = np.clip(scores, 1e-4, 1 - 1e-4)
    odds = sm.add_constant(np.log(inside / (1 - inside)), has_constant="add")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sm.Logit(truth.astype(float), odds).fit(disp=0)
    return around(float(fit.params[1]), float(fit.bse[1]), len(truth))


ANALYSIS = Analysis(number="A26", name="Models fitted to synthetic patients", needs=(), run=run)
