"""Groups of patients that a declaration names by values of their static columns."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

# the values by column, None for missing; who has one of them in each column is meant
Group = Mapping[str, tuple[str | None, ...]]


def in_group(group: Group) -> pl.Expr:
    """Whether a row of static columns belongs to the group: bool, never null."""
    parts = (
        pl.col(name)
        .cast(pl.String)
        .is_in([item for item in values if item is not None])
        .fill_null(None in values)
        for name, values in group.items()
    )
    return pl.all_horizontal(parts)
