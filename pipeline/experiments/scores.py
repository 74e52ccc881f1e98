"""Six classifiers with ordinary settings on one table, scored on real rows: overall and by
group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.learners import classifiers, fits
from pipeline.schema.values import Schema

FEWEST = 2  # rows of each class without which a classifier is not fitted


@dataclass(frozen=True)
class Predictions:
    """Of one classifier on n test rows: the class as bool [n], and a score [n] that ranks them."""

    positive: np.ndarray
    score: np.ndarray


def predictions(
    schema: Schema, target: str, train: pl.DataFrame, test: pl.DataFrame
) -> dict[str, Predictions]:
    """By classifier. The last category of the target is the positive class. Where the training
    rows hold one class alone, everybody gets it.
    """
    columns = {
        name: column
        for name, column in schema.patients.items()
        if name != target and (column.is_categorical or column.is_numeric)
    }
    positive = schema.patients[target].categories[-1]
    truth = (train[target].cast(pl.String) == positive).to_numpy()
    if min(truth.sum(), (~truth).sum()) < FEWEST:
        same = np.full(len(test), truth.mean() > 0.5)
        return {name: Predictions(same, same.astype(float)) for name in classifiers()}
    return {
        name: Predictions(np.asarray(fit.labels(), bool), fit.scores([True])[0])
        for name, fit in fits(train, truth, test, columns, boosting_on_codes=True).items()
    }


def truth_of(schema: Schema, target: str, rows: pl.DataFrame) -> np.ndarray:
    """Whether each row is of the positive class, bool [n]."""
    positive = schema.patients[target].categories[-1]
    return np.asarray((rows[target].cast(pl.String) == positive).to_numpy(), bool)


def measures(
    truth: np.ndarray, answers: Mapping[str, Predictions], groups: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """{classifier: {measure: value}}: accuracy and AUC, and by group (bool [n]) accuracy and the
    share of positives that are found; NaN where a group has none.
    """
    values: dict[str, dict[str, float]] = {}
    for name, answer in answers.items():
        is_right = answer.positive == truth
        one = {"accuracy": float(is_right.mean()), "AUC": _auc(truth, answer.score)}
        for group, inside in groups.items():
            hits = answer.positive[inside & truth]
            one[f"accuracy {group}"] = float(is_right[inside].mean()) if inside.any() else np.nan
            one[f"found {group}"] = float(hits.mean()) if len(hits) else np.nan
        values[name] = one
    return values


def _auc(truth: np.ndarray, score: np.ndarray) -> float:
    if truth.all() or not truth.any():
        return float("nan")
    return float(roc_auc_score(truth, score))
