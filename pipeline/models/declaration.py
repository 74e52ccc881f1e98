"""A declaration as plain values and back, so that a saved model carries the one it was trained with
and needs no other file.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from typing import Any, Union, get_args, get_origin, get_type_hints

from pipeline.refusal import Refusal
from pipeline.schema.names import path_faults
from pipeline.schema.values import Schema, freeze

# fields that earlier versions do not know: left out where they say nothing
LATER: Mapping[str, frozenset[str]] = {
    "Schema": frozenset({"order", "equal", "known", "related"}),
    "Column": frozenset(
        {
            "date_format",
            "decimal",
            "booleans",
            "unknown",
            "other",
            "integer",
            "breaks",
            "title",
            "learn",
        }
    ),
    "Table": frozenset({"separator", "encoding", "sheet", "line_breaks", "once"}),
    "EventLog": frozenset({"censoring", "exclusions", "windows", "largest_steps"}),
    "EventType": frozenset({"title", "like"}),
    "Deadline": frozenset({"group"}),
    "EventSource": frozenset({"day", "unit", "status", "codes", "until", "duration", "closes"}),
}


def to_plain(value: Any) -> Any:
    """Dataclasses and mappings as dicts, tuples as lists: what JSON holds."""
    if is_dataclass(value) and not isinstance(value, type):
        later = LATER.get(type(value).__name__, frozenset())
        return {
            f.name: to_plain(getattr(value, f.name))
            for f in fields(value)
            if f.name not in later or getattr(value, f.name) != f.default
        }
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def schema_from_plain(value: Mapping[str, Any]) -> Schema:
    """The declaration that `to_plain` wrote. Raises Refusal for anything else."""
    try:
        schema = _from_plain(Schema, value)
    except (KeyError, TypeError) as error:
        raise Refusal(f"not a declaration of this version: {error}") from None
    if not isinstance(schema, Schema):
        raise Refusal("not a declaration")
    tables = ((name, table.file) for name, table in schema.tables.items())
    if faults := path_faults(schema.dataset, tables):
        raise Refusal(f"not a declaration of this version: {faults[0]}")
    return schema


def _from_plain(hint: Any, value: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if value is None:  # an earlier version wrote none or one where there are several now
        return () if origin is tuple else None
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint)
        return hint(**{name: _from_plain(hints[name], item) for name, item in value.items()})
    if origin in (Union, types.UnionType):
        types_of_value = [option for option in inner if option is not type(None)]
        return _from_plain(types_of_value[0], value) if len(types_of_value) == 1 else value
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            items = [value] if isinstance(value, Mapping) else value
            return tuple(_from_plain(inner[0], item) for item in items)
        return tuple(_from_plain(part, item) for part, item in zip(inner, value, strict=True))
    if hint is date:
        return date.fromisoformat(value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return freeze({key: _from_plain(inner[1], item) for key, item in value.items()})
    return value
