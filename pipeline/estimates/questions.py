"""Questions as people type them: `GENDER=2`, `AGE=70..80`, `SITE_GROUP=Breast,Lung`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.draw_plan import DOTS, MISSING
from pipeline.estimates.shares import Condition
from pipeline.models.noisy_tables import NoisyTable
from pipeline.plan_options import where_of
from pipeline.plan_slices import number_in
from pipeline.refusal import Refusal
from pipeline.schema.values import Schema


def conditions_of(
    schema: Schema, tables: Sequence[NoisyTable], texts: Sequence[str]
) -> Mapping[str, Condition]:
    """Raises Refusal for a column or fact that the release did not count, and a value that it does
    not have. `missing` is a value.
    """
    names = dict.fromkeys(name for table in tables for name in table.columns)
    conditions: dict[str, Condition] = {}
    for name, condition in where_of(texts).items():
        if name not in names:
            raise Refusal(
                f"{name}: this release counted no such column or fact; it has {', '.join(names)}"
            )
        if isinstance(condition, str):
            low, _, high = condition.partition(DOTS)
            conditions[name] = _number(schema, name, low), _number(schema, name, high)
            continue
        values = [None if value == MISSING else value for value in condition]
        own = {
            value
            for table in tables
            for axis in table.axes
            if axis.name == name
            for cell in axis.cells
            for value in cell.values
        }
        unknown = [value for value in values if value not in own]
        if unknown:
            texts_of = ", ".join(sorted(MISSING if value is None else value for value in own))
            raise Refusal(
                f"{name} has no value {unknown[0] or MISSING!r}; it has {texts_of}"
                " (of numbers and dates write LOW..HIGH)"
            )
        conditions[name] = values
    return conditions


def _number(schema: Schema, name: str, text: str) -> float:
    column = schema.patients.get(name)
    number = number_in(text, is_date=column is not None and column.kind == "date")
    if number is None:
        raise Refusal(f"{name}={text}: neither a number nor a date YYYY-MM-DD")
    return number
