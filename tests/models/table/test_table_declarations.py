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
    planned = plan(
        declared.patients,
        declared.implications,
        declared.targets,
        TableSettings(codes=20, steps=2),
        declared.population.nominal_size,
    )
    assert TablePlan.from_json(planned.to_json()) == planned
    rng = np.random.default_rng(0)
    rows = pl.DataFrame([nonsense(column, 300, rng) for column in planned.columns])
    model = run_fit(rows, tmp_path, planned, 4.0).model
    drawn = model.sample(3000, rng)
    assert drawn.columns == [column.name for column in planned.columns]
    for column in planned.columns:
        assert column.nullable or drawn[column.name].null_count() == 0, column.name
        if column.categories:
            assert set(drawn[column.name].drop_nulls()) <= set(column.categories), column.name
    for rule in planned.implications:
        for given, allowed in rule.allowed.items():
            then = drawn.filter(pl.col(rule.given) == given)[rule.then]
            assert set(then.cast(pl.String).to_list()) <= set(allowed), (
                f"{rule.given}={given} -> {rule.then}"
            )
