"""SDMetrics' metadata of the static table, from the declaration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import polars as pl

from pipeline.schema.sdmetrics_words import sdtype
from pipeline.schema.values import Column

TABLE = "patients"
CASTS: Mapping[str, pl.DataType] = {
    "categorical": pl.String(),
    "ordinal": pl.String(),
    "continuous": pl.Float64(),
    "date": pl.Datetime("ns"),
}


def single_table(columns: Mapping[str, Column]) -> dict[str, Any]:
    """{"tables": {"patients": {"columns": {name: {"sdtype": ...}}}}} for the modelled columns."""
    return {
        "tables": {
            TABLE: {
                "columns": {
                    name: {"sdtype": sdtype(column)}
                    for name, column in columns.items()
                    if column.kind in CASTS
                }
            }
        }
    }


def to_pandas(frame: pl.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
    """The static columns in the types that SDMetrics wants: strings, floats, timestamps."""
    return frame.select(
        pl.col(name).cast(CASTS[column.kind])
        for name, column in columns.items()
        if column.kind in CASTS
    ).to_pandas()
