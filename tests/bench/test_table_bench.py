"""The benchmark's scorer, splits and tables: what its figures say of rows that are right, wrong, or
useless.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bench import table_data, table_survival, table_tables
from bench.peers import peer_fits
from pipeline.evaluation import table_score
from pipeline.schema.values import Column

COLUMNS = {
    "sex": Column(name="sex", kind="categorical", categories=("F", "M")),
    "size": Column(name="size", kind="continuous", lower=0, upper=100, decimals=0, nullable=True),
    "ill": Column(name="ill", kind="categorical", categories=("no", "yes")),
}


def rows(n: int, seed: int, effect: float = 1.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    size = rng.integers(0, 101, n)
    ill = rng.random(n) < 1 / (1 + np.exp(-effect * (size - 50) / 10))
    return pl.DataFrame(
        {
            "sex": np.where(rng.random(n) < 0.5, "F", "M"),
            "size": pl.Series(np.where(rng.random(n) < 0.1, -1, size)).replace(-1, None),
            "ill": np.where(ill, "yes", "no"),
        }
    )


def test_a_fresh_sample_scores_well_and_shuffled_columns_do_not() -> None:
    train, holdout, fresh = rows(2_000, 1), rows(1_000, 2), rows(2_000, 3)
    shuffled = fresh.with_columns(pl.col("ill").shuffle(seed=1))
    good, bad = (
        table_score.figures(train, holdout, synthetic, COLUMNS, "ill")
        for synthetic in (fresh, shuffled)
    )
    assert set(good) == set(table_score.FIGURES)
    assert (
        good["one_way_tvd"] == pytest.approx(bad["one_way_tvd"], abs=0.01)
        and good["two_way_tvd"] < bad["two_way_tvd"] - 0.05
    )
    assert good["auc"] > 0.9 and bad["auc"] < good["auc"] - 0.1
    assert good["detection"] < 0.6 < bad["detection"]


def test_rows_of_one_class_teach_nothing() -> None:
    constant = rows(500, 1).with_columns(pl.lit("no").alias("ill"))
    assert set(table_score.aucs(constant, rows(500, 2), COLUMNS, "ill").values()) == {0.5}


def test_splits_are_disjoint_and_the_same_each_time() -> None:
    numbered = pl.DataFrame({"patient_id": [str(k) for k in range(100)]})
    train, holdout = table_data.split(numbered, 11)
    assert len(holdout) == 20 and set(train["patient_id"]).isdisjoint(holdout["patient_id"])
    assert table_data.split(numbered, 11)[1].equals(holdout) and not table_data.split(numbered, 12)[
        1
    ].equals(holdout)
    assert 1 not in table_data.FRESH  # the settings were chosen on split 1


def test_the_table_names_every_run_and_its_failures() -> None:
    row = {
        "dataset": "adult",
        "epsilon": 1.0,
        "two_way_tvd": 0.04,
        "one_way_tvd": 0.01,
        "quality": 0.99,
        "auc": 0.88,
        "detection": 0.7,
    }
    text = table_tables.table(
        [
            row | {"model": "ours", "split": 11},
            row | {"model": "ours", "split": 12, "two_way_tvd": 0.02},
            {
                "dataset": "adult",
                "model": "dpmm-aim",
                "epsilon": 1.0,
                "split": 11,
                "error": "stopped after 2400 s",
            },
        ]
    )
    assert "| **Syndasera** | 1 | 2 | 0.0300 (0.0141) |" in text and "stopped after 2400 s" in text


def test_the_plots_have_a_panel_per_public_table(tmp_path: Path) -> None:
    """Of simulated patients there is no AUC, and no panel; a table without figures stays empty."""
    row = {"dataset": "hmda", "model": "ours", "two_way_tvd": 0.1, "auc": 0.8}
    rows = [row | {"epsilon": epsilon} for epsilon in (1.0, 3.0)]
    table_tables.plot_scores(rows, tmp_path / "scores.svg")
    drawing = (tmp_path / "scores.svg").read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in drawing for name in table_data.PUBLIC)
    assert not any(name in drawing for name in table_data.SIMULATED)


def test_a_peer_without_nulls_gives_missing_numbers_back() -> None:
    column = {"kind": "continuous", "lower": 2.0, "upper": 9.0, "nullable": True}
    job = peer_fits.Job({"a": column, "b": column | {"nullable": False}}, 1.0, 1e-6, 1)
    train = pd.DataFrame({"a": [3.0, None, 2.0], "b": [5.0, 6.0, 7.0]})
    coded = peer_fits.flagged(train, job)
    assert coded["a"].tolist() == [3.0, 2.0, 2.0] and list(coded["a is missing"]) == [
        "no",
        "yes",
        "no",
    ]
    pd.testing.assert_frame_equal(peer_fits.unflagged(coded), train)


@pytest.mark.parametrize("text", ["adult", "simulated_5000=/somewhere", "other=/somewhere"])
def test_a_source_is_a_public_table_with_a_folder_or_simulated(text: str) -> None:
    with pytest.raises(SystemExit, match="as DATASET=PATH"):
        table_data.tables_of([text])


def test_concordance_tells_rows_that_teach_survival_from_others() -> None:
    columns = {
        "grade": Column(name="grade", kind="ordinal", categories=("1", "2", "3")),
        "age": Column(name="age", kind="continuous", lower=0, upper=100, decimals=0),
        "time": Column(name="time", kind="continuous", lower=0, upper=9000, decimals=0),
        "dead": Column(name="dead", kind="categorical", categories=("0", "1")),
    }

    def cohort(seed: int) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        grade, age = rng.integers(1, 4, 2000), rng.integers(40, 80, 2000)
        time = rng.exponential(1000 * np.exp(-grade - (age - 60) / 10)) * 100
        return pl.DataFrame(
            {
                "grade": grade.astype(str),
                "age": age,
                "time": time.clip(0, 9000).round().astype(int),
                "dead": np.where(time < 9000, "1", "0"),
            }
        )

    train, holdout = cohort(1), cohort(2)
    shuffled = train.with_columns(pl.col("time").shuffle(seed=1), pl.col("dead").shuffle(seed=1))
    good, useless = (
        table_survival.concordance(rows, holdout, columns, "time", "dead")
        for rows in (train, shuffled)
    )
    assert good > 0.75 and useless < good - 0.1
    alive = train.with_columns(pl.lit("0").alias("dead"))
    assert table_survival.concordance(alive, holdout, columns, "time", "dead") == 0.5
