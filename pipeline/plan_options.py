"""A plan for drawing from the options of a command: `--where`, `--begins`, `--share`, `--plan`."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from pipeline.draw_plan import DOTS, Condition, DrawPlan, Target, read_plan, read_targets
from pipeline.refusal import Refusal


def plan_in(
    text: str = "",
    *,
    where: Sequence[str] = (),
    begins: Sequence[str] = (),
    shares: Sequence[str] = (),
) -> DrawPlan:
    """The plan of a file's text with what options add to it. Raises Refusal where both speak of the
    same column.
    """
    plan = read_plan(text) if text.strip() else DrawPlan()
    own, targets = where_of(where), targets_of(shares)
    if twice := [name for name in own if name in plan.where]:
        raise Refusal(f"--where {', '.join(twice)}: the plan's file has a condition on it, too")
    if begins and plan.begins:
        raise Refusal("--begins: the plan's file says how pathways begin, too")
    return DrawPlan(
        where=MappingProxyType({**plan.where, **own}),
        begins=tuple(begins) or plan.begins,
        targets=(*plan.targets, *targets),
    )


def where_of(prompts: Sequence[str]) -> dict[str, Condition]:
    """Conditions from `sex=Female,Male` and `age=30..50`. Raises Refusal for what is neither, and
    for a column named twice.
    """
    where: dict[str, Condition] = {}
    for text in prompts:
        column, equals, values = text.partition("=")
        if not equals or not column or not values:
            raise Refusal(f"--where {text!r}: write COLUMN=VALUE,VALUE or COLUMN=LOW..HIGH")
        if column in where:
            raise Refusal(
                f"--where names {column} twice: write all its values in one, {column}=VALUE,VALUE"
            )
        where[column] = values if DOTS in values else tuple(values.split(","))
    return where


def targets_of(texts: Sequence[str]) -> tuple[Target, ...]:
    """Targets from `sex=Female:50%,Male:0.5` and `sex,race=even`. Raises Refusal for others; cells
    of several columns with shares of their own need a plan's file.
    """
    return read_targets([_target_in(text) for text in texts], "--share")


def _target_in(text: str) -> dict[str, Any]:
    columns, equals, shares = text.partition("=")
    names = columns.split(",")
    if equals and shares == "even":
        return {"columns": names, "even": True}
    pairs = [part.rpartition(":") for part in shares.split(",")]
    if not equals or len(names) > 1 or not all(value and share for value, _, share in pairs):
        raise Refusal(
            f"--share {text!r}: write COLUMN=VALUE:SHARE,VALUE:SHARE or COLUMN,COLUMN=even; other"
            " shares of several columns go into a file, --plan FILE"
        )
    cells = [{columns: value, "share": _share(text, share)} for value, _, share in pairs]
    return {"columns": names, "cells": cells}


def _share(text: str, share: str) -> float:
    try:
        return float(share.removesuffix("%")) / (100 if share.endswith("%") else 1)
    except ValueError:
        raise Refusal(f"--share {text!r}: {share!r} is no share, such as 0.5 or 50%") from None
