"""Days inside a band, spread by the patient's number: public, the same at every draw."""

from __future__ import annotations

from datetime import date

import polars as pl

from pipeline.adapters.frames import EPOCH
from pipeline.adapters.simulacrum.names import DECISION_BANDS
from pipeline.schema.patient_log import ID

# no date of an extract lies before it (clinical rule 11)
FIRST_DATE = (date(2015, 11, 1) - EPOCH).days


def days_before(band: str = "decision_days", start: str = "start") -> pl.Expr:
    """Days from decision to treatment on the date `start`: one day of the band, fewer where the
    decision would lie before the first legal date.
    """
    first = pl.col(band).replace_strict(
        {name: low for name, (low, _) in DECISION_BANDS.items()},
        default=None,
        return_dtype=pl.Int32,
    )
    width = pl.col(band).replace_strict(
        {name: high - low + 1 for name, (low, high) in DECISION_BANDS.items()},
        default=None,
        return_dtype=pl.Int32,
    )
    spread = (
        (pl.col(ID).cast(pl.Int64) * 7919 + pl.col(start).cast(pl.Int32).cast(pl.Int64))
        % width.cast(pl.Int64)
    ).cast(pl.Int32)
    legal = (pl.col(start).cast(pl.Int32) - FIRST_DATE).clip(0)
    return (
        pl.when(pl.col(band).is_not_null())
        .then(pl.min_horizontal(first + spread, legal))
        .cast(pl.Int32)
    )
