"""Drawn rows: legal, close to the truth, deterministic, and as the prompts say."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from table_cases import (
    DAYS,
    Fitted,
    conditions,
    simulated_columns,
    simulated_implications,
    simulated_rows,
)

from pipeline.models.table.draw.model import TableModel


@pytest.fixture(scope="module")
def draws(fitted: Fitted) -> pl.DataFrame:
    return fitted.model.sample(20_000, np.random.default_rng(5))


def violations(rows: pl.DataFrame) -> int:
    breaches = 0
    for rule in simulated_implications():
        for value, allowed in rule.allowed.items():
            then = rows.filter(pl.col(rule.given) == value)[rule.then]
            breaches += sum(item not in allowed for item in then.to_list())
    return breaches


def shares(rows: pl.DataFrame, columns: list[str]) -> dict[tuple[object, ...], float]:
    coarse = rows.with_columns(
        pl.col("age") // 10, pl.col("cost").add(1).log().floor(), pl.col("diagnosed").dt.year()
    )
    return {
        tuple(row[:-1]): row[-1] / len(rows) for row in coarse.group_by(columns).len().iter_rows()
    }


def distance(a: pl.DataFrame, b: pl.DataFrame, columns: list[str]) -> float:
    """Total variation distance between the joint distributions of these columns."""
    left, right = shares(a, columns), shares(b, columns)
    return 0.5 * sum(
        abs(left.get(key, 0) - right.get(key, 0)) for key in left.keys() | right.keys()
    )


def test_implications_hold_in_every_row(draws: pl.DataFrame) -> None:
    assert violations(simulated_rows(2000, 1)) == 0  # the counter counts what the simulation keeps
    assert violations(draws) == 0


def test_columns_are_as_declared(draws: pl.DataFrame) -> None:
    columns = simulated_columns()
    assert draws.columns == list(columns)
    assert draws.schema == {
        "sex": pl.String,
        "site": pl.String,
        "stage": pl.String,
        "spread": pl.String,
        "age": pl.Int64,
        "cost": pl.Float64,
        "gleason": pl.Int64,
        "diagnosed": pl.Date,
        "relapse": pl.String,
    }
    for name, column in columns.items():
        if column.categories:
            assert set(draws[name].drop_nulls()) <= set(column.categories)
        elif column.kind == "continuous":
            assert draws[name].min() >= column.lower and draws[name].max() <= column.upper
        assert column.nullable or draws[name].null_count() == 0
    assert draws["diagnosed"].min() >= date(1970, 1, 1) + timedelta(days=DAYS)
    assert (draws["cost"].round(2) == draws["cost"]).all()


def test_marginals_at_epsilon_3_are_close_to_fresh_rows(draws: pl.DataFrame) -> None:
    """Stated: 1-way below .05, 2-way of dependent columns below .09, where a fresh sample of the
    truth has about .01 and .02.
    """
    fresh = simulated_rows(20_000, 99)
    for name in fresh.columns:
        assert distance(draws, fresh, [name]) < 0.05, name
    for pair in (
        ["sex", "site"],
        ["site", "stage"],
        ["stage", "spread"],
        ["site", "age"],
        ["stage", "cost"],
        ["site", "gleason"],
        ["stage", "relapse"],
    ):
        independent = fresh.with_columns(fresh[pair[1]].shuffle(seed=1))
        assert distance(independent, fresh, pair) > 0.1, "these columns depend on each other"
        assert distance(draws, fresh, pair) < 0.09, pair
    assert abs((draws["cost"] == 0).mean() - (fresh["cost"] == 0).mean()) < 0.02  # type: ignore[operator]


def test_equal_seeds_draw_equal_rows_also_after_a_round_trip(
    fitted: Fitted, tmp_path: Path
) -> None:
    first = fitted.model.sample(500, np.random.default_rng(11))
    assert_frame_equal(first, fitted.model.sample(500, np.random.default_rng(11)))
    assert not first.equals(fitted.model.sample(500, np.random.default_rng(12)))
    fitted.model.save(tmp_path / "a")
    loaded = TableModel.load(tmp_path / "a")
    assert_frame_equal(first, loaded.sample(500, np.random.default_rng(11)))
    loaded.save(tmp_path / "b")
    names = {"table.safetensors", "table.json", "measured.safetensors", "measured.json"}
    assert {p.name for p in (tmp_path / "a").iterdir()} == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with pytest.raises(ValueError, match="belong together"):
        TableModel.load(tmp_path)


def test_no_rows_are_a_valid_draw(fitted: Fitted) -> None:
    assert fitted.model.sample(0, np.random.default_rng(0)).shape == (0, 9)


def between(name: str, ends: tuple[object, ...]) -> pl.Expr:
    """Categories are compared as text: those of `stage` are digits in order."""
    low, high = (
        date.fromisoformat(end) if name == "diagnosed" and isinstance(end, str) else end
        for end in ends
    )
    return pl.col(name).is_between(pl.lit(low), pl.lit(high))


@pytest.mark.parametrize(
    "where",
    [
        {"sex": ["F"], "age": (30, 50)},
        {"cost": (0, 0)},
        {"cost": (100.5, 1e9), "stage": ["4", None]},
        {"gleason": [7, 9]},
        {"spread": ["M1"]},
        {"diagnosed": (date(2016, 1, 1), "2016-12-31")},
        {"stage": ("2", "4")},
        {"site": ["brain"], "sex": ["M"]},
    ],
)
def test_every_row_complies_with_a_prompt(fitted: Fitted, where: dict[str, object]) -> None:
    rows = fitted.model.sample(3000, np.random.default_rng(2), conditions(where))
    assert len(rows) == 3000 and violations(rows) == 0
    for name, condition in where.items():
        if isinstance(condition, tuple):
            assert rows[name].null_count() == 0 and rows.filter(between(name, condition)).equals(
                rows
            )
        else:
            assert set(rows[name].to_list()) <= set(condition)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "where",
    [
        {"site": ["lung"]},
        {"age": (60, 70)},
        {"stage": ["4"]},
        {"sex": ["F"], "cost": (1000, 5000)},
        {"relapse": ["yes"]},
        {"relapse": ["yes"], "age": (60, 80)},
        {"stage": ("1", "3")},
    ],
)
def test_a_prompt_is_the_filtered_draw(fitted: Fitted, where: dict[str, object]) -> None:
    """Stated: within .05 in 1-way distance of each column, with some 4,000 filtered rows."""
    whole = fitted.model.sample(60_000, np.random.default_rng(3))
    for name, condition in where.items():
        whole = whole.filter(
            between(name, condition)
            if isinstance(condition, tuple)
            else pl.col(name).is_in(condition)
        )
    prompted = fitted.model.sample(20_000, np.random.default_rng(4), conditions(where))
    assert len(whole) > 1500
    for name in whole.columns:
        assert distance(prompted, whole, [name]) < 0.05, name


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"six": ["F"]}, "does not have"),
        ({"sex": ["X"]}, "has no value 'X'"),
        ({"age": (200, 300)}, "no declared value"),
        ({"stage": ("2", "5")}, "has no value '5'"),
        ({"stage": ("4", "2")}, "comes before"),
        ({"site": ("breast", "colon")}, "have no order"),
        ({"diagnosed": ("2016-13-40", "2016-12-31")}, "is no date, write YYYY-MM-DD"),
        ({"sex": ["F"], "site": ["prostate"]}, "no value of"),
        ({"site": ["brain"], "spread": ["M1"]}, "no value of"),
    ],
)
def test_prompts_that_cannot_be_met_are_refused(
    fitted: Fitted, where: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fitted.model.sample(10, np.random.default_rng(0), conditions(where))
