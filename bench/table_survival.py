"""Whether a survival model learns from synthetic rows what it would from real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import polars as pl
from lifelines.utils import concordance_index

from pipeline.evaluation.learners import cox_risks
from pipeline.schema.values import Column


def concordance(
    synthetic: pl.DataFrame,
    holdout: pl.DataFrame,
    columns: Mapping[str, Column],
    time: str,
    event: str,
    outcomes: Sequence[str] = (),
) -> float:
    """Harrell's C on the holdout of a Cox model fitted to synthetic rows; .5 where none can be
    fitted. outcomes: columns that tell the outcome, left out.
    """
    died = columns[event].categories[-1]
    facts = {
        name: column for name, column in columns.items() if name not in (time, event, *outcomes)
    }
    fit_facts, holdout_facts = (_features(rows, facts) for rows in (synthetic, holdout))
    risk = cox_risks(
        fit_facts,
        synthetic[time].to_numpy(),
        (synthetic[event] == died).to_numpy(),
        holdout_facts,
    )
    if risk is None:
        return 0.5
    return float(
        concordance_index(holdout[time].to_numpy(), -risk, (holdout[event] == died).to_numpy())
    )


def _features(rows: pl.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
    frame = rows.select(list(columns)).to_pandas()
    categories = [name for name, column in columns.items() if column.categories]
    return pd.get_dummies(frame, columns=categories, drop_first=True).astype(float)
