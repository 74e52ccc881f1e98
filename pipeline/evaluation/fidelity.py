"""How close two static tables are: total variation distances and SDMetrics' quality and diagnostic
reports.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from sdmetrics.reports import DiagnosticReport, QualityReport

from pipeline.evaluation.metadata import TABLE, single_table, to_pandas
from pipeline.schema.values import Column

BINS = 20  # quantile bins of the real rows, numeric columns


def binned(
    real: pl.DataFrame, other: pl.DataFrame, columns: Mapping[str, Column]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Integer codes [n] of each column in both tables; numeric columns in quantile bins of the real
    rows, missing as a code of its own.
    """
    first, second = {}, {}
    for name, column in columns.items():
        if column.is_categorical:
            index = {category: code for code, category in enumerate(column.categories)}
            first[name], second[name] = (_codes(frame[name], index) for frame in (real, other))
        else:
            edges = _edges(real[name])
            first[name], second[name] = (_bins(frame[name], edges) for frame in (real, other))
    return first, second


def _codes(values: pl.Series, index: Mapping[str, int]) -> np.ndarray:
    return (
        values.cast(pl.String)
        .replace_strict(index, default=len(index), return_dtype=pl.Int32)
        .fill_null(len(index))
        .to_numpy()
    )


def _edges(values: pl.Series) -> np.ndarray:
    present = (
        values.drop_nulls().cast(pl.Date).cast(pl.Int32)
        if values.dtype == pl.Date
        else values.drop_nulls()
    )
    numbers = present.cast(pl.Float64).to_numpy()
    return (
        np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]))
        if len(numbers)
        else np.zeros(0)
    )


def _bins(values: pl.Series, edges: np.ndarray) -> np.ndarray:
    numbers = (values.cast(pl.Int32) if values.dtype == pl.Date else values).cast(pl.Float64)
    codes = np.searchsorted(edges, numbers.fill_null(0.0).to_numpy(), side="right")
    return np.where(numbers.is_null().to_numpy(), len(edges) + 1, codes).astype(np.int32)


def tvd(real: np.ndarray, other: np.ndarray) -> float:
    """Total variation distance of two samples of integer codes, 0 (same shares) to 1. NaN where one
    is empty.
    """
    if len(real) == 0 or len(other) == 0:
        return math.nan
    size = int(max(real.max(), other.max())) + 1
    return float(
        0.5
        * np.abs(
            np.bincount(real, minlength=size) / len(real)
            - np.bincount(other, minlength=size) / len(other)
        ).sum()
    )


def two_way(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> list[float]:
    """TVD of each pair of columns of two tables in integer codes, as `binned` makes them."""
    pairs = []
    for left, right in combinations(first, 2):
        width = int(max(first[right].max(initial=0), second[right].max(initial=0))) + 1
        pairs.append(
            tvd(
                first[left].astype(np.int64) * width + first[right],
                second[left].astype(np.int64) * width + second[right],
            )
        )
    return pairs


def sdmetrics_reports(
    real: pl.DataFrame, synthetic: pl.DataFrame, columns: Mapping[str, Column]
) -> dict[str, float]:
    """Scores of SDMetrics' QualityReport and DiagnosticReport, 0 to 1. Column Pair Trends is NaN
    where no pair is associated.
    """
    frames = [{TABLE: to_pandas(rows, columns)} for rows in (real, synthetic)]
    return report_scores(frames, single_table(columns))


def report_scores(
    frames: Sequence[Mapping[str, pd.DataFrame]], metadata: Mapping[str, Any]
) -> dict[str, float]:
    """Both of SDMetrics' reports on real and synthetic tables by name, with their properties, 0 to
    1.
    """
    scores = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SDMetrics warns of constant columns, which are no fault
        for name, report in (("quality", QualityReport()), ("diagnostic", DiagnosticReport())):
            report.generate(*frames, metadata, verbose=False)
            scores[name] = float(report.get_score())
            scores |= {
                f"{name}: {row.Property}": float(row.Score)
                for row in report.get_properties().itertuples()
            }
    return scores
