"""Distances and reports on tables whose closeness is known."""

import math

import numpy as np
import polars as pl
import pytest

from pipeline.evaluation import fidelity
from pipeline.schema.values import Column

COLUMNS = {
    "sex": Column(name="sex", kind="categorical", categories=("F", "M"), nullable=True),
    "age": Column(name="age", kind="continuous", lower=0, upper=110),
    "seen": Column(name="seen", kind="date", lower=0, upper=20000),
}


def table(n: int, seed: int, dependent: bool = True) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    sex = random.integers(0, 2, n)
    age = random.normal(60, 8, n) + (15 * sex if dependent else 0)
    days = random.integers(10_000, 12_000, n)
    return pl.DataFrame(
        {
            "patient_id": np.arange(n),
            "sex": np.where(sex == 0, "F", "M"),
            "age": age.round(),
            "seen": days.astype("datetime64[D]"),
        }
    ).with_columns(sex=pl.when(pl.col("patient_id") % 50 == 0).then(None).otherwise("sex"))


def distances(real, other, columns):
    """Mean one-way and two-way TVD, and each column's own."""
    first, second = fidelity.binned(real, other, columns)
    one_way = {name: fidelity.tvd(first[name], second[name]) for name in first}
    return {
        "one_way_tvd": np.mean(list(one_way.values())),
        "two_way_tvd": np.mean(fidelity.two_way(first, second)),
        "columns": one_way,
    }


def test_a_fresh_sample_is_near_and_a_broken_dependence_is_seen_in_pairs():
    real = table(8000, 1)
    near, broken = (
        distances(real, other, COLUMNS)
        for other in (table(8000, 2), table(8000, 2, dependent=False))
    )
    assert near["one_way_tvd"] < 0.04 and near["two_way_tvd"] < 0.09
    assert broken["two_way_tvd"] > near["two_way_tvd"] + 0.15
    assert distances(real, real, COLUMNS)["two_way_tvd"] == 0


def test_missing_is_a_value_of_its_own():
    real = table(1000, 1)
    emptied = real.with_columns(
        sex=pl.lit(None, dtype=pl.String),
        age=pl.lit(None, dtype=pl.Float64),
        seen=pl.lit(None, dtype=pl.Date),
    )
    assert min(distances(real, emptied, COLUMNS)["columns"].values()) > 0.9


def test_tvd_of_known_shares():
    assert fidelity.tvd(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])) == pytest.approx(0.25)
    assert math.isnan(fidelity.tvd(np.array([], dtype=int), np.array([1])))


def test_sdmetrics_scores_fall_with_a_broken_dependence():
    real = table(3000, 1)
    near, broken = (
        fidelity.sdmetrics_reports(real, other, COLUMNS)
        for other in (table(3000, 2), table(3000, 2, dependent=False))
    )
    assert near["quality"] > 0.9 > broken["quality: Column Pair Trends"]
    assert near["diagnostic: Data Validity"] > 0.99
