"""What a plan leaves alone: the benchmark sees a change within a cell, and none was kept."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from bench import plan_cells, report
from pipeline.draw_plan import plan_of
from pipeline.schema.values import Schema

N = 6000


@pytest.fixture(scope="module")
def adult() -> Schema:
    from pipeline.catalog import project_root
    from pipeline.schema.reader import read_schema

    return read_schema(project_root() / "datasets" / "adult.yaml")


def people(adult: Schema, seed: int, *, hangs_together: bool) -> pl.DataFrame:
    """Of every column a constant, but for sex, hours and income, which follows from hours."""
    rng = np.random.default_rng(seed)
    hours, luck = rng.integers(20, 60, N), rng.integers(20, 60, N)
    few = hours if hangs_together else luck
    constants = {
        name: pl.lit(column.categories[0] if column.is_categorical else column.lower).alias(name)
        for name, column in adult.patients.items()
    }
    return pl.DataFrame(
        {
            "sex": np.where(rng.random(N) < 0.4, "Female", "Male"),
            "hours_per_week": hours,
            "income": np.where(few > 40, ">50K", "<=50K"),
        }
    ).with_columns(
        one for name, one in constants.items() if name not in ("sex", "hours_per_week", "income")
    )


def test_a_change_within_a_cell_is_seen_beside_its_floor(adult: Schema) -> None:
    free = [people(adult, seed, hangs_together=True) for seed in (1, 2)]
    cell = {"sex": ("Female",)}
    same = plan_cells.within(adult, cell, people(adult, 3, hangs_together=True), *free)
    other = plan_cells.within(adult, cell, people(adult, 3, hangs_together=False), *free)
    assert same is not None and other is not None and same[2] > 2000
    assert same[0] < same[1] + 0.002 < other[0]
    few = free[0].filter(pl.col("sex") == "Male")
    assert plan_cells.within(adult, cell, few, *free) is None


def test_a_share_that_is_off_is_told(adult: Schema) -> None:
    rows = people(adult, 1, hangs_together=True)
    share = float((rows["sex"] == "Female").mean() or 0)
    even = plan_of({"shares": [{"columns": ["sex"], "even": True}]})
    cells = [{"sex": "Female", "share": 0.3}]
    fixed = plan_of({"shares": [{"columns": ["sex"], "cells": cells}]})
    assert plan_cells.shares_off(adult, even, rows) == pytest.approx(0.5 - share)
    assert plan_cells.shares_off(adult, fixed, rows) == pytest.approx(share - 0.3)


def test_plans_that_were_measured_keep_their_shares_and_leave_the_rest_alone() -> None:
    rows = report.read(plan_cells.RESULTS)
    assert {(row["dataset"], row["plan"]) for row in rows} == {
        (name, plan) for name, plans in plan_cells.PLANS.items() for plan in plans
    }
    for row in rows:
        assert row["points_off"] <= 0.5
        assert row["within"] <= row["floor"] + 0.005
        assert row["enough"] > 0.8 * row["cells"]
    # the measure sees what a plan does change: all but one, where the halves are even anyway
    assert sum(row["overall"] > 3 * row["overall_floor"] for row in rows) == len(rows) - 1
    assert plan_cells.table(rows) in plan_cells.DOC.read_text(encoding="utf-8")
