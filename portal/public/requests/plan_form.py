"""A plan for drawing from the fields of a form, or from the text for experts; checked against the
declaration before anything is sent (docs/plans.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from starlette.datastructures import FormData

from pipeline.draw_plan import MISSING, DrawPlan, plan_of, read_plan
from pipeline.plan_slices import check_plan, number_text
from pipeline.refusal import Refusal
from pipeline.schema.column_values import Column
from pipeline.schema.values import Schema

FEW = 12  # categories that are shown as boxes to tick; of more, their names are written
STARTS = 3  # events that pathways may begin with, in the form
LONGEST = 20_000  # characters of a plan


def plan_in(form: FormData, schema: Schema) -> DrawPlan:
    """The plan that a form asks for. Raises Refusal with what is wrong, where, and what to do."""
    text = str(form.get("plan") or "").strip()
    if len(text) > LONGEST:
        raise Refusal(f"the plan has more than {LONGEST:,} characters")
    fields = dict(_parts(form, schema))
    if text and fields:
        raise Refusal(
            "the plan is written as text, and some fields are filled in, too: clear one of the two"
        )
    plan = read_plan(text) if text else plan_of(fields)
    check_plan(schema, plan)
    return plan


def as_text(plan: DrawPlan) -> str:
    """The plan in YAML; empty for one that asks for nothing."""
    if not plan:
        return ""
    out, yaml = StringIO(), YAML()
    yaml.default_flow_style = None
    yaml.dump(plan.to_json(), out)
    return out.getvalue()


def bounds(column: Column) -> tuple[str, str]:
    """The ends of a number or date as a plan writes them."""
    return number_text(column, column.lower), number_text(column, column.upper)


def _parts(form: FormData, schema: Schema) -> Iterator[tuple[str, Any]]:
    """The filled-in parts of a plan."""
    where = {c.name: one for c in schema.patients.values() if (one := _condition(form, c))}
    if where:
        yield "where", where
    shares = [cells for c in schema.patients.values() if (cells := _share(form, c))]
    if shares:
        yield "shares", shares
    begins = [str(one) for one in form.getlist("begins") if one]
    if begins:
        yield "begins", begins


def _condition(form: FormData, column: Column) -> str | list[str] | None:
    if column.is_categorical:
        ticked = [str(one) for one in form.getlist(f"where:{column.name}")]
        # with semicolons between: a category may hold a comma
        values = [one.strip() for text in ticked for one in _split(text, column) if one.strip()]
        return values or None
    low, high = (str(form.get(f"{end}:{column.name}") or "").strip() for end in ("low", "high"))
    if not low and not high:
        return None
    lowest, highest = bounds(column)
    return f"{low or lowest}..{high or highest}"


def _split(text: str, column: Column) -> list[str]:
    return [text] if text in (*column.categories, MISSING) else text.split(";")


def _share(form: FormData, column: Column) -> Mapping[str, Any] | None:
    if form.get(f"even:{column.name}"):
        return {"columns": [column.name], "even": True}
    cells = []
    for place, category in enumerate(column.categories[:FEW]):
        text = str(form.get(f"share:{column.name}:{place}") or "").strip()
        if text:
            cells.append({column.name: category, "share": _percent(text, column.name, category)})
    return {"columns": [column.name], "cells": cells} if cells else None


def _percent(text: str, column: str, category: str) -> float:
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise Refusal(
            f"plan: the share of {column} {category} must be a number of per cent from 0 to 100, is"
            f" {text[:40]!r}"
        )
    return share
