"""Whether a value of YAML is of the type that a field has."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_WORDS: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    date: "an ISO date, YYYY-MM-DD",
    tuple: "a list",
    Mapping: "a mapping",
}


@cache
def field_types(kind: type) -> Mapping[str, Any]:
    """Field -> type, of a dataclass."""
    return get_type_hints(kind)


def type_fault(hint: Any, value: Any) -> str | None:
    """What is wrong with the type of `value`, in words; None: nothing."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if any(_fits(option, value) for option in options):
        return None
    expectation = " or ".join(
        _WORDS.get(_plain(option), "a mapping") for option in options if option is not type(None)
    )
    remedy = ""
    if isinstance(value, str) and not _is_text(options):
        remedy = ", without quotes" if _plain(options[0]) in (bool, int, float) else ""
    elif isinstance(value, bool | int | float | date) and _is_text(options):
        remedy = ": put it in quotes"
    return f"must be {expectation}, is {in_short(value)}{remedy}"


def in_short(value: Any) -> str:
    """A value as a message quotes it, shortened."""
    if value is None:
        return "empty"
    if isinstance(value, date):
        return str(value)
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_scalar(value: Any) -> bool:
    """Whether a value of YAML is one text, number, truth value or date."""
    return isinstance(value, str | bool | int | float | date)


def _is_text(options: tuple[Any, ...]) -> bool:
    return any(_plain(option) is str for option in options)


def _plain(hint: Any) -> Any:
    origin = get_origin(hint)
    if origin is Literal:
        return str
    if origin is tuple:
        return tuple
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Mapping
    return hint


def _fits(hint: Any, value: Any) -> bool:
    hint = _plain(hint)
    if hint is type(None):
        return value is None
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and abs(value) < 2**1000 and math.isfinite(value)
    if hint is date:
        return isinstance(value, date) and not isinstance(value, datetime)
    return isinstance(value, hint)
