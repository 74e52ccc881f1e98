"""The pace of dying in the synthetic table against the real one, in one number: a Weibull
accelerated failure time model of both tables together, adjusted for the declaration's strata.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import polars as pl
from lifelines import WeibullAFTFitter
from lifelines.exceptions import ConvergenceError

from pipeline.evaluation.analyses.comparison import MIN_EVENTS, Coefficient, Frames
from pipeline.evaluation.analyses.estimates import DAYS_PER_YEAR

MAX_ROWS, MIN_ROWS, MAX_VALUES = 15_000, 200, 10  # patients of each table; values of a stratum
SYNTHETIC = "_synthetic"


def time_ratio(frames: Frames, strata: Sequence[str]) -> Coefficient | None:
    """Log of how many times as long synthetic patients live as real ones of the same strata. None
    where too few died or the steps do not converge.
    """
    parts = [
        (frame if len(frame) <= MAX_ROWS else frame.sample(MAX_ROWS, seed=1))
        .select("days", "died", *strata)
        .with_columns(pl.lit(float(place)).alias(SYNTHETIC))
        for place, frame in enumerate(frames)
    ]
    if min(int(part["died"].sum()) for part in parts) < MIN_EVENTS:
        return None
    rows = pl.concat(parts, how="vertical_relaxed")
    terms = [term for name in strata for term in _terms(rows, name)]
    design = rows.select(
        SYNTHETIC,
        "died",
        (pl.col("days").cast(pl.Float64) + 0.5) / DAYS_PER_YEAR,  # a death on day 0 counts
        *terms,
    ).to_pandas()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = WeibullAFTFitter().fit(design, "days", "died")
    except (ConvergenceError, np.linalg.LinAlgError):
        return None
    value = float(fit.params_["lambda_"][SYNTHETIC])
    error = float(fit.standard_errors_["lambda_"][SYNTHETIC])
    n = len(parts[1])
    return Coefficient(value, error, n, n) if np.isfinite([value, error]).all() else None


def _terms(rows: pl.DataFrame, name: str) -> list[pl.Expr]:
    """One for each of the commonest values but the first, which is the base with the rest."""
    text = pl.col(name).cast(pl.String).fill_null("missing")
    sizes = (
        rows.group_by(text.alias("value"))
        .agg(pl.len().alias("n"), deaths=pl.col("died").sum())
        .filter((pl.col("n") >= MIN_ROWS) & (pl.col("deaths") >= MIN_EVENTS))
        .sort("n", "value", descending=[True, False])
    )
    return [
        (text == value).cast(pl.Float64).alias(f"{name} {value}")
        for value in sizes["value"].to_list()[1:MAX_VALUES]
    ]
