"""The project's own declarations: each can be planned, fitted to nonsense, and drawn from, legal by
construction.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from table_cases import run_fit

from pipeline import catalog
from pipeline.models.table.plan.plan import TablePlan, plan
from pipeline.models.table.plan.settings import TableSettings
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Column

DECLARATIONS = sorted((catalog.project_root() / "datasets").glob("*.yaml"))


def nonsense(column: Column, n: int, rng: np.random.Generator) -> pl.Series:
    """Declared values without any dependence: most rows break the implications, which the model
    must keep all the same.
    """
    if column.categories:
        return pl.Series(column.name, rng.choice(list(column.categories), n), dtype=pl.String)
    assert column.lower is not None and column.upper is not None
    if column.kind == "date":
        return (
            pl.Series(column.name, rng.integers(int(column.lower), int(column.upper), n))
            .cast(pl.Int32)
            .cast(pl.Date)
        )
    return pl.Series(column.name, rng.uniform(column.lower, column.upper, n))


@pytest.mark.parametrize("path", DECLARATIONS, ids=lambda path: path.stem)
def test_a_declaration_is_fitted_and_kept(path: Path, tmp_path: Path) -> None:
    declared = read_schema(path)
    table_plan = plan(
        declared.patients,
        declared.implications,
        declared.targets,
        TableSettings(codes=20, steps=2),
        declared.population.nominal_size,
    )
    assert TablePlan.from_json(table_plan.to_json()) == table_plan
    rng = np.random.default_rng(0)
    rows = pl.DataFrame([nonsense(column, 300, rng) for column in table_plan.columns])
    model = run_fit(rows, tmp_path, table_plan, 4.0).model
    draw = model.sample(3000, rng)
    assert draw.columns == [column.name for column in table_plan.columns]
    for column in table_plan.columns:
        assert column.nullable or draw[column.name].null_count() == 0, column.name
        if column.categories:
            assert set(draw[column.name].drop_nulls()) <= set(column.categories), column.name
    for rule in table_plan.implications:
        for value, allowed in rule.allowed.items():
            then = draw.filter(pl.col(rule.given) == value)[rule.then]
            assert set(then.cast(pl.String).to_list()) <= set(allowed), (
                f"{rule.given}={value} -> {rule.then}"
            )
