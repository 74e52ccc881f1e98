"""Figures of the table benchmark: how far synthetic rows are from the holdout, and what models
learn from them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import VarianceThreshold
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from pipeline.evaluation import fidelity
from pipeline.evaluation.learners import classifiers, fits, plain_frame
from pipeline.schema.values import Column

FIGURES = ("two_way_tvd", "one_way_tvd", "quality", "shapes", "trends", "auc", "detection")


def figures(
    train: pl.DataFrame,
    holdout: pl.DataFrame,
    synthetic: pl.DataFrame,
    columns: Mapping[str, Column],
    target: str | None,
) -> dict[str, float]:
    """FIGURES of synthetic rows, as many as training rows; without auc where there is no target.

    TVD: to the holdout, numeric columns in 20 quantile bins of the training rows; quality, shapes,
    trends: SDMetrics against the training rows; auc: mean over six classifiers fitted to synthetic
    rows, on the holdout; detection: AUC of gradient boosting that tells synthetic rows from holdout
    rows, five folds.
    """
    one_way, two_way = distances(train, holdout, synthetic, columns)
    reports = fidelity.sdmetrics_reports(train, synthetic, columns)
    of_target = [] if target is None else list(aucs(synthetic, holdout, columns, target).values())
    return {
        "two_way_tvd": two_way,
        "one_way_tvd": one_way,
        "quality": reports["quality"],
        "shapes": reports["quality: Column Shapes"],
        "trends": reports["quality: Column Pair Trends"],
        **({"auc": float(np.mean(of_target))} if of_target else {}),
        "detection": detection(holdout, synthetic, columns),
    }


def distances(
    train: pl.DataFrame,
    holdout: pl.DataFrame,
    synthetic: pl.DataFrame,
    columns: Mapping[str, Column],
) -> tuple[float, float]:
    """(one-way, two-way) mean TVD of holdout and synthetic rows in bins of the training rows."""
    holdout_bins, synthetic_bins = (
        fidelity.binned(train, holdout, columns)[1],
        fidelity.binned(train, synthetic, columns)[1],
    )
    one_way = [fidelity.tvd(holdout_bins[name], synthetic_bins[name]) for name in columns]
    return float(np.mean(one_way)), float(np.mean(fidelity.two_way(holdout_bins, synthetic_bins)))


def aucs(
    synthetic: pl.DataFrame, holdout: pl.DataFrame, columns: Mapping[str, Column], target: str
) -> dict[str, float]:
    """AUC on the holdout of each classifier fitted to synthetic rows; .5 where these hold one class
    only. The last class is the positive one.
    """
    positive = columns[target].categories[-1]
    labels, truth = ((rows[target] == positive).to_numpy() for rows in (synthetic, holdout))
    if labels.all() or not labels.any():
        return dict.fromkeys(classifiers(), 0.5)
    rest = {name: column for name, column in columns.items() if name != target}
    return {
        name: float(roc_auc_score(truth, fit.scores([True])[0]))
        for name, fit in fits(synthetic, labels, holdout, rest).items()
    }


def detection(
    holdout: pl.DataFrame, synthetic: pl.DataFrame, columns: Mapping[str, Column]
) -> float:
    """.5 where nothing tells them apart. As many synthetic rows as the holdout has."""
    both = pd.concat(
        [plain_frame(holdout, columns), plain_frame(synthetic[: len(holdout)], columns)]
    )
    for name in (name for name, column in columns.items() if column.is_categorical):
        both[name] = both[name].astype("category").cat.codes
    labels = np.repeat([0, 1], [len(holdout), len(both) - len(holdout)])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all-missing columns have no variance
        scores = cross_val_predict(
            # gradient boosting stops at a column that is constant or all missing in a fold
            make_pipeline(VarianceThreshold(), HistGradientBoostingClassifier(random_state=0)),
            both,
            labels,
            cv=folds,
            method="predict_proba",
        )[:, 1]
    return float(roc_auc_score(labels, scores))
