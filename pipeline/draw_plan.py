"""A plan for drawing: what every synthetic patient must satisfy, and which shares groups of them
must have. One frozen value for the command line, params.yaml, the form of the DAG and Python.

It is text throughout (values as an extract writes them, `30..50` for a range, `missing`), so that
the card and the manifest print what was asked for. It speaks of a model's draw and is free of
charge (privacy_rules.md 18). docs/plans.md describes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from pipeline.refusal import Refusal

MISSING = "missing"
DOTS = ".."
# a range, or values of which one is met
Condition = str | tuple[str, ...]
_FIELDS = ("where", "begins", "shares")
_DEEPEST = 10  # lists and mappings within each other; a plan has six


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A group of patients by one condition per column, and how many of the draw it is: a share of
    all patients, or rows.
    """

    conditions: tuple[Condition, ...]
    share: float | None = None
    rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """What shares the cells of one or several columns together have. No cells: every legal
    combination of declared values has the same share. What the cells leave of the draw goes to all
    others, in the model's proportions.
    """

    columns: tuple[str, ...]
    cells: tuple[Cell, ...] = ()

    @property
    def is_even(self) -> bool:
        return not self.cells


@dataclass(frozen=True, kw_only=True)
class DrawPlan:
    """`where`: by static column what every patient satisfies. `begins`: the events that come first
    in every pathway, `TYPE` or `TYPE=CODE`. `targets`: shares of groups.
    """

    where: Mapping[str, Condition] = field(default_factory=lambda: MappingProxyType({}))
    begins: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.where or self.begins or self.targets)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that have shares, each once, in the order in which they are named."""
        return tuple(dict.fromkeys(name for target in self.targets for name in target.columns))

    def to_json(self) -> dict[str, Any]:
        """The form of a plan's YAML file; empty for a plan that asks for nothing."""
        plain: dict[str, Any] = {}
        if self.where:
            plain["where"] = {name: _plain(one) for name, one in self.where.items()}
        if self.begins:
            plain["begins"] = list(self.begins)
        if self.targets:
            plain["shares"] = [_plain_target(target) for target in self.targets]
        return plain

    def in_words(self) -> list[str]:
        """One line for each thing that is asked for."""
        lines = [f"every patient has {name} {_words(one)}" for name, one in self.where.items()]
        if self.begins:
            lines.append(f"every pathway begins with {', then '.join(self.begins)}")
        for target in self.targets:
            if target.is_even:
                lines.append(f"{' x '.join(target.columns)}: every combination as often")
            lines += [
                f"{cell_words(target.columns, c.conditions)}: {_size(c)}" for c in target.cells
            ]
        return lines


def plan_of(value: Any, name: str = "plan") -> DrawPlan:
    """The plan in a mapping with `where`, `begins` and `shares`; None and {} ask for nothing.
    Raises Refusal naming the place of the first mistake.
    """
    if value is None:
        return DrawPlan()
    if not isinstance(value, Mapping):
        raise Refusal(f"{name} must be a mapping with {', '.join(_FIELDS)}, is {value!r}")
    if unknown := [str(key) for key in value if key not in _FIELDS]:
        raise Refusal(f"{name}: unknown {', '.join(unknown)}; it takes {', '.join(_FIELDS)}")
    where = value.get("where") or {}
    if not isinstance(where, Mapping):
        raise Refusal(f"{name}.where must be a mapping COLUMN: values, is {where!r}")
    begins = value.get("begins") or ()
    if isinstance(begins, str) or not isinstance(begins, Sequence):
        raise Refusal(f"{name}.begins must be a list of TYPE or TYPE=CODE, is {begins!r}")
    return DrawPlan(
        where=MappingProxyType(
            {str(c): condition_of(one, f"{name}.where.{c}") for c, one in where.items()}
        ),
        begins=tuple(str(event) for event in begins),
        targets=read_targets(value.get("shares") or (), f"{name}.shares"),
    )


def read_plan(text: str, name: str = "plan") -> DrawPlan:
    """The plan in a YAML or JSON text, of anybody. Raises Refusal for what is neither."""
    try:
        _refuse_tangles(text, name)
        value = YAML(typ="safe").load(text)
    except Refusal:
        raise
    except (YAMLError, ValueError) as error:  # ValueError: a date or a number that is none
        raise Refusal(f"{name} is no YAML: {' '.join(str(error).split())}") from None
    return plan_of(value, name)


def _refuse_tangles(text: str, name: str) -> None:
    """Raises Refusal for a text that grows: a name for a part, used within a part that has a name,
    makes gigabytes of a few lines.
    """
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if isinstance(event, AliasEvent):
            raise Refusal(f"{name} takes no anchors and aliases (&, *): write the values out")
        if depth > _DEEPEST:
            raise Refusal(f"{name} is nested too deep: more than {_DEEPEST} levels")


def condition_of(value: Any, name: str) -> Condition:
    """A condition from what a person writes: `30..50` or (30, 50), a value, or a list of values;
    None is `missing`. Raises Refusal for an empty one.
    """
    if isinstance(value, tuple) and len(value) == 2:
        return f"{_text(value[0])}{DOTS}{_text(value[1])}"
    if isinstance(value, (list, tuple, set, frozenset)):
        values = tuple(_text(one) for one in value)
        if not values or "" in values:
            raise Refusal(f"{name} admits nothing: give at least one value")
        return values
    text = _text(value)
    if not text:
        raise Refusal(f"{name} admits nothing: give at least one value")
    return text if DOTS in text.strip(".") else (text,)


def _text(value: Any) -> str:
    """As an extract writes it."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        raise Refusal(f'{value!r} is a truth value of YAML: quote the value, as in "yes"')
    if isinstance(value, date):
        return value.isoformat()[:10]
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def read_targets(value: Any, name: str) -> tuple[Target, ...]:
    if isinstance(value, (Mapping, str)) or not isinstance(value, Sequence):
        raise Refusal(f"{name} must be a list of {{columns, cells}} or {{columns, even}}")
    targets = tuple(_target(one, f"{name}[{place}]") for place, one in enumerate(value))
    groups: set[frozenset[str]] = set()
    for target in targets:
        if frozenset(target.columns) in groups:
            raise Refusal(f"{name} names {', '.join(target.columns)} twice: write one entry")
        groups.add(frozenset(target.columns))
    return targets


def _target(value: Any, name: str) -> Target:
    if not isinstance(value, Mapping) or "columns" not in value:
        raise Refusal(f"{name} must be a mapping with columns, and with cells or even: true")
    columns = value["columns"]
    columns = (columns,) if isinstance(columns, str) else tuple(str(one) for one in columns)
    if not columns or len(set(columns)) < len(columns):
        raise Refusal(f"{name}.columns must name different columns, is {list(columns)}")
    is_even, cells = bool(value.get("even")), value.get("cells") or ()
    if unknown := sorted(set(value) - {"columns", "even", "cells"}):
        raise Refusal(f"{name}: unknown {', '.join(map(str, unknown))}")
    if is_even == bool(cells):
        raise Refusal(f"{name} needs either cells or even: true")
    target = Target(
        columns=columns,
        cells=tuple(_cell(one, columns, f"{name}.cells[{at}]") for at, one in enumerate(cells)),
    )
    total = sum(cell.share or 0.0 for cell in target.cells)
    if total > 1 + 1e-9:
        raise Refusal(f"{name}: the shares sum to {total:.4g}, which is more than 1")
    return target


def _cell(value: Any, columns: Sequence[str], name: str) -> Cell:
    if not isinstance(value, Mapping):
        raise Refusal(f"{name} must be a mapping: {', '.join(columns)}, and share or rows")
    if absent := [column for column in columns if column not in value]:
        raise Refusal(f"{name} says nothing of {', '.join(absent)}")
    if unknown := sorted(str(k) for k in value if k not in (*columns, "share", "rows")):
        raise Refusal(f"{name}: unknown {', '.join(unknown)}")
    share, rows = value.get("share"), value.get("rows")
    if (share is None) == (rows is None):
        raise Refusal(f"{name} needs either share or rows")
    if share is not None and not (type(share) in (int, float) and 0 <= share <= 1):
        raise Refusal(f"{name}.share must be a number from 0 to 1, is {share!r}")
    if rows is not None and not (type(rows) is int and rows >= 0):
        raise Refusal(f"{name}.rows must be a whole number of at least 0, is {rows!r}")
    conditions = tuple(condition_of(value[column], f"{name}.{column}") for column in columns)
    return Cell(conditions=conditions, share=None if share is None else float(share), rows=rows)


def _plain(condition: Condition) -> str | list[str]:
    return condition if isinstance(condition, str) else list(condition)


def _plain_target(target: Target) -> dict[str, Any]:
    if target.is_even:
        return {"columns": list(target.columns), "even": True}
    cells = []
    for cell in target.cells:
        plain: dict[str, Any] = {
            name: _plain(one) for name, one in zip(target.columns, cell.conditions, strict=True)
        }
        plain |= {"share": cell.share} if cell.share is not None else {"rows": cell.rows}
        cells.append(plain)
    return {"columns": list(target.columns), "cells": cells}


def _words(condition: Condition) -> str:
    if isinstance(condition, str):
        low, _, high = condition.partition(DOTS)
        return f"{low} to {high}"
    return " or ".join(condition)


def cell_words(columns: Iterable[str], conditions: Iterable[Condition]) -> str:
    """`sex Female, age 30 to 50`."""
    return ", ".join(f"{n} {_words(one)}" for n, one in zip(columns, conditions, strict=True))


def _size(cell: Cell) -> str:
    if cell.rows is not None:
        return f"{cell.rows:,} patients"
    return f"{100 * (cell.share or 0.0):.4g}% of patients"
