"""Whether a survival model learns from synthetic rows what it would from real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import polars as pl
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError
from lifelines.utils import concordance_index

from pipeline.schema.values import Column

PENALTY = 0.1  # ridge, so that constant columns of a poor extract stop nothing


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
    fitted_to, holdout_facts = (_features(rows, facts) for rows in (synthetic, holdout))
    holdout_facts = holdout_facts.reindex(columns=fitted_to.columns, fill_value=0.0)
    spread = fitted_to.std().replace(0.0, 1.0)
    scaled = (fitted_to - fitted_to.mean()) / spread
    frame = scaled.assign(
        _time=synthetic[time].to_numpy().clip(1), _event=(synthetic[event] == died).to_numpy()
    )
    try:
        model = CoxPHFitter(penalizer=PENALTY).fit(frame, "_time", "_event")
    except (ConvergenceError, ValueError):
        return 0.5
    risk = model.predict_log_partial_hazard((holdout_facts - fitted_to.mean()) / spread)
    return float(
        concordance_index(
            holdout[time].to_numpy(), -risk.to_numpy(), (holdout[event] == died).to_numpy()
        )
    )


def _features(rows: pl.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
    frame = rows.select(list(columns)).to_pandas()
    categories = [name for name, column in columns.items() if column.categories]
    return pd.get_dummies(frame, columns=categories, drop_first=True).astype(float)
