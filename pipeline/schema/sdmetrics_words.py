"""SDMetrics' words for the kinds of columns."""

from __future__ import annotations

from pipeline.schema.values import Column

_OTHERS = {"date": "datetime", "continuous": "numerical", "ordinal": "categorical"}


def sdtype(column: Column) -> str:
    """SDMetrics' word for the column's kind, which is ours where it has no other."""
    return _OTHERS.get(column.kind, column.kind)
