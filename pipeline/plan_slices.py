"""What a plan for drawing says of a declared column: whether it can, which rows meet a condition,
and the slices into which several conditions cut a column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise

import polars as pl

from pipeline.draw_plan import DOTS, MISSING, Condition, DrawPlan, cell_words
from pipeline.refusal import Refusal
from pipeline.schema.column_values import Column
from pipeline.schema.values import Schema

_EPOCH = date(1970, 1, 1)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SLACK = 1e-6  # of a lattice step, for decimals that floats do not hold


def check_plan(schema: Schema, plan: DrawPlan) -> None:
    """Raises Refusal for a column, value, range or event that the declaration does not have.
    Whether a legal patient can meet all conditions together shows when the model is asked.
    """
    for name, condition in plan.where.items():
        check_condition(_column(schema, name), condition)
    for target in plan.targets:
        for name in target.columns:
            column = _column(schema, name)
            if name in plan.where:
                raise Refusal(
                    f"plan: {name} has a condition for everybody and shares: give the shares alone,"
                    " of the values that there are to be"
                )
            if target.is_even and not column.is_categorical:
                raise Refusal(
                    f"plan: {name} has no categories, so its combinations cannot be as often: give"
                    " cells with ranges, such as 30..50"
                )
        for cell in target.cells:
            for name, condition in zip(target.columns, cell.conditions, strict=True):
                check_condition(_column(schema, name), condition)
    _check_begins(schema, plan)


def _check_begins(schema: Schema, plan: DrawPlan) -> None:
    types = schema.events.types if schema.events is not None else {}
    for event in plan.begins:
        name, _, code = event.partition("=")
        if name not in types:
            raise Refusal(
                f"plan: begins names {name!r}, which is no event type;"
                f" {', '.join(types) if types else 'the dataset has no events'}"
            )
        if code and code not in types[name].codes:
            raise Refusal(f"plan: begins: {name} has no code {code!r}")


def _column(schema: Schema, name: str) -> Column:
    column = schema.patients.get(name)
    if column is None:
        raise Refusal(
            f"plan names {name}, which is no static column of {schema.dataset}; it has"
            f" {', '.join(schema.patients)}"
        )
    return column


def check_condition(column: Column, condition: Condition) -> None:
    """Raises Refusal where the column has none of the values."""
    if column.is_categorical:
        labels_of(column, condition)
    else:
        ranges_of(column, condition)


def ranges_of(column: Column, condition: Condition) -> tuple[list[tuple[float, float]], bool]:
    """(ranges with both ends, whether missing meets it too) of a number or date, in days since
    1970-01-01. Raises Refusal for what the column does not have.
    """
    if isinstance(condition, str):
        low, _, high = condition.partition(DOTS)
        ends = (_number(column, low), _number(column, high))
        if not _is_inside(column, *ends):
            raise Refusal(
                f"plan: {column.name} has no declared value from {low} to {high}; it lies from"
                f" {number_text(column, column.lower)} to {number_text(column, column.upper)}"
            )
        return [ends], False
    numbers = [_number(column, value) for value in condition if value != MISSING]
    for number in numbers:
        if not _is_inside(column, number, number):
            raise Refusal(f"plan: {column.name} is never {number_text(column, number)}")
    if MISSING in condition:
        _check_missing(column)
    return [(number, number) for number in numbers], MISSING in condition


def _is_inside(column: Column, low: float, high: float) -> bool:
    assert column.lower is not None and column.upper is not None
    if low > high:
        return False
    is_atom = any(low <= atom <= high for atom in column.atoms)
    return is_atom or (high >= column.lower and low <= column.upper)


def _check_missing(column: Column) -> None:
    if not column.nullable:
        raise Refusal(f"plan: {column.name} is never missing")


def labels_of(column: Column, condition: Condition) -> list[str | None]:
    """The categories that meet it, None for missing. Raises Refusal for what the column does not
    have.
    """
    values = list(column.categories)
    if isinstance(condition, str):
        ends = condition.split(DOTS, 1)
        if column.kind != "ordinal":
            raise Refusal(
                f"plan: the values of {column.name} have no order, so there is no range of them;"
                f" list them: {', '.join(ends)}"
            )
        for end in ends:
            _check_value(column, end)
        first, last = (values.index(end) for end in ends)
        if first > last:
            raise Refusal(f"plan: {ends[1]} comes before {ends[0]} in the values of {column.name}")
        return [*values[first : last + 1]]
    labels: list[str | None] = []
    for value in condition:
        if value == MISSING and MISSING not in values:
            _check_missing(column)
            labels.append(None)
        else:
            _check_value(column, value)
            labels.append(value)
    return labels


def _check_value(column: Column, value: str) -> None:
    if value not in column.categories:
        some = ", ".join(column.categories[:20])
        more = ", ..." if len(column.categories) > 20 else ""
        raise Refusal(f"plan: {column.name} has no value {value!r}; it has {some}{more}")


def number_in(text: str, *, is_date: bool = False) -> float | None:
    """What a person types: a number, or days since 1970-01-01 of a date YYYY-MM-DD; None for
    anything else.
    """
    try:
        if is_date:
            day = date.fromisoformat(text if _ISO_DATE.fullmatch(text) else "")
            return float((day - _EPOCH).days)
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _number(column: Column, text: str) -> float:
    number = number_in(text, is_date=column.kind == "date")
    if number is None:
        kind = "date, write YYYY-MM-DD" if column.kind == "date" else "number"
        raise Refusal(f"plan: {column.name}: {text!r} is no {kind}")
    return number


def number_text(column: Column, number: float | None) -> str:
    """A number or date as a plan writes it."""
    if number is None:
        return "none"
    if column.kind == "date":
        return str(_EPOCH + timedelta(days=number))
    return f"{number:.{column.decimals}f}"


def meets(column: Column, condition: Condition) -> pl.Expr:
    """Whether a row of static columns meets the condition."""
    rows = pl.col(column.name)
    if column.is_categorical:
        labels = labels_of(column, condition)
        is_met = rows.cast(pl.String).is_in([v for v in labels if v is not None])
        takes_missing = None in labels
    else:
        ranges, takes_missing = ranges_of(column, condition)
        numbers = (rows.cast(pl.Int32) if column.kind == "date" else rows).cast(pl.Float64)
        slack = _SLACK * 10.0**-column.decimals
        is_met = pl.any_horizontal(
            pl.lit(False), *(numbers.is_between(low - slack, high + slack) for low, high in ranges)
        )
    is_met = is_met.fill_null(False)
    return is_met | rows.is_null() if takes_missing else is_met


def is_within(column: Column, part: Condition, condition: Condition) -> bool:
    """Whether a slice, which meets a condition whole or not at all, meets this one."""
    if column.is_categorical:
        return labels_of(column, part)[0] in labels_of(column, condition)
    own, is_missing = ranges_of(column, part)
    ranges, takes_missing = ranges_of(column, condition)
    if is_missing:
        return takes_missing
    slack = _SLACK * 10.0**-column.decimals
    return any(low - slack <= own[0][0] <= high + slack for low, high in ranges)


def slices(column: Column, conditions: Sequence[Condition], *, single: bool) -> list[Condition]:
    """The coarsest parts of a column that each meet a condition whole or not at all; together they
    are all its declared values. single: each category by itself.
    """
    if not column.is_categorical:
        return list(_ranges(column, conditions))
    labels: list[str | None] = [*column.categories, *([None] if column.nullable else [])]
    terms = [set(labels_of(column, condition)) for condition in conditions]
    parts: dict[tuple[object, ...], list[str]] = {}
    for label in labels:
        signature: tuple[object, ...] = tuple(label in one for one in terms)
        signature = (*signature, label) if single else signature
        parts.setdefault(signature, []).append(MISSING if label is None else label)
    return [tuple(part) for part in parts.values()]


def _ranges(column: Column, conditions: Sequence[Condition]) -> Iterator[Condition]:
    assert column.lower is not None and column.upper is not None
    step = 10.0**-column.decimals
    low = min(column.lower, *column.atoms) if column.atoms else column.lower
    high = max(column.upper, *column.atoms) if column.atoms else column.upper

    def place(number: float) -> float:
        return (number - low) / step

    end = math.floor(place(high) + _SLACK) + 1
    cuts = {0, end}
    for condition in conditions:
        for first, last in ranges_of(column, condition)[0]:
            cuts |= {math.ceil(place(first) - _SLACK), math.floor(place(last) + _SLACK) + 1}
    for start, stop in pairwise(sorted(cut for cut in cuts if 0 <= cut <= end)):
        yield DOTS.join(number_text(column, low + at * step) for at in (start, stop - 1))
    if column.nullable:
        yield (MISSING,)


def _uneven(columns: Sequence[str], patients: pl.DataFrame) -> list[str]:
    """The combinations that there are have as many patients each."""
    counts = patients.group_by(columns).len()["len"]
    spread = int(counts.max() or 0) - int(counts.min() or 0)  # type: ignore[arg-type]
    if spread <= 0.005 * len(patients) + 2:
        return []
    return [f"plan: the combinations of {' x '.join(columns)} differ by {spread:,} patients"]


def breaches(schema: Schema, plan: DrawPlan, patients: pl.DataFrame) -> list[str]:
    """What of the plan these static rows do not keep: conditions that some row breaks, and shares
    that are off by more than half a point and a patient.
    """
    broken = [
        f"plan: {n:,} rows break the condition on {name}"
        for name, one in plan.where.items()
        if (n := int(patients.select((~meets(schema.patients[name], one)).sum()).item()))
    ]
    for target in plan.targets:
        if target.is_even:
            broken += _uneven(target.columns, patients)
        for cell in target.cells:
            is_met = pl.all_horizontal(
                meets(schema.patients[name], one)
                for name, one in zip(target.columns, cell.conditions, strict=True)
            )
            n = int(patients.select(is_met.sum()).item())
            goal = cell.rows if cell.rows is not None else (cell.share or 0) * len(patients)
            if abs(n - goal) > 0.005 * len(patients) + 1:
                words = cell_words(target.columns, cell.conditions)
                broken.append(f"plan: {n:,} patients have {words}, not {goal:,.0f}")
    return broken
