"""The rules of an event log as a declaration writes them: what is legal for whom, what must follow,
what comes too late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.schema import code_relations
from pipeline.schema.document import Path_
from pipeline.schema.fields import FieldReader
from pipeline.schema.groups import Group
from pipeline.schema.value_types import in_short, type_fault
from pipeline.schema.values import (
    Column,
    Deadline,
    EventType,
    Exclusion,
    LegalCodes,
    Window,
    freeze,
)


def legal_codes(
    reader: FieldReader, columns: Mapping[str, Column], types: Mapping[str, EventType]
) -> tuple[LegalCodes, ...]:
    """`legal_codes`: by one static column."""
    rules = []
    for path, entry in reader.entries(("events", "legal_codes")):
        allowed = reader.relation(path, entry)
        is_ours = "allowed_from" not in entry
        for field in ("allowed", "allowed_from"):
            entry.pop(field, None)
        legal = reader.build(LegalCodes, path, entry, allowed=allowed)
        if not isinstance(legal, LegalCodes):
            continue
        kind, column = types.get(legal.type), columns.get(legal.given)
        if kind is None:
            reader.document.problem((*path, "type"), f"no event type named {legal.type!r}")
        if column is None:
            reader.document.problem((*path, "given"), f"no static column named {legal.given!r}")
        if kind is not None and column is not None and is_ours:
            _check_legal_codes(reader, path, legal, kind, column)
        rules.append(legal)
    return tuple(rules)


def _check_legal_codes(
    reader: FieldReader, path: Path_, legal: LegalCodes, kind: EventType, column: Column
) -> None:
    if not column.is_categorical:
        reader.document.problem(
            (*path, "given"), f"{legal.given} is {column.kind}: it must have categories"
        )
        return
    for value, codes in legal.allowed.items():
        place = (*path, "allowed", value)
        if value not in column.categories:
            reader.document.problem(
                place, f"{value!r} is no value of {column.name}: {_some(column.categories)}"
            )
        for code in codes:
            if code not in kind.codes:
                reader.document.problem(
                    place, f"{code!r} is no code of {kind.name}: {_some(kind.codes)}"
                )


def _some(names: tuple[str, ...]) -> str:
    shortened = ", ".join(names[:12]) or "it has none"
    return f"there are {shortened}{', ...' if len(names) > 12 else ''}"


def exclusions(
    reader: FieldReader, columns: Mapping[str, Column], types: Mapping[str, EventType]
) -> tuple[Exclusion, ...]:
    """`exclusions`: what a group of patients never has."""
    rules = []
    for path, entry in reader.entries(("events", "exclusions")):
        ready: dict[str, Any] = {
            "types": reader.distinct((*path, "types"), entry.pop("types", [])),
            "group": _group(reader, path, entry.pop("group", None), columns),
        }
        if "codes_from" in entry:
            if entry.pop("codes", None) is not None:
                reader.document.problem(path, "says codes and codes_from: leave one of them out")
            name = entry.pop("codes_from")
            listing = reader.named((*path, "codes_from"), name, code_relations.categories)
            ready["codes"] = tuple(listing or ())
        elif "codes" in entry:
            ready["codes"] = reader.distinct((*path, "codes"), entry.pop("codes"))
        rule = reader.build(Exclusion, path, entry, **ready)
        if not isinstance(rule, Exclusion):
            continue
        if not rule.types:
            reader.document.problem((*path, "types"), "must name at least one type")
        codes = {code for name in rule.types if name in types for code in types[name].codes}
        for code in sorted(set(rule.codes or ()) - codes):
            reader.document.problem(
                (*path, "codes"), f"{code!r} is no code of {' or '.join(rule.types)}"
            )
        rules.append(rule)
    return tuple(rules)


def _group(
    reader: FieldReader, path: Path_, value: Any, columns: Mapping[str, Column]
) -> Group | None:
    """{column: [values]}; None where it cannot be read."""
    path = (*path, "group")
    if not isinstance(value, Mapping) or not value:
        reader.document.problem(
            path, f"must be a mapping of static columns to lists of values, is {in_short(value)}"
        )
        return None
    group = reader.value_lists(path, value)
    for name, values in group.items():
        place, column = (*path, name), columns.get(name)
        if column is None:
            reader.document.problem(place, f"no static column named {name!r}")
            continue
        if not column.is_categorical:
            reader.document.problem(place, f"{name} is {column.kind}: it must have categories")
            continue
        if not values:
            reader.document.problem(place, "must list at least one value")
        for item in values:
            if item is None and not column.nullable:
                reader.document.problem(place, f"{name} is never missing: leave null out")
            elif item is not None and item not in column.categories:
                reader.document.problem(
                    place, f"{item!r} is no value of {name}: {_some(column.categories)}"
                )
    return group


def deadlines(reader: FieldReader, columns: Mapping[str, Column]) -> tuple[Deadline, ...]:
    """`deadlines`: what must follow, in a group of patients or in everybody."""
    rules = []
    for path, entry in reader.entries(("events", "deadlines")):
        ready: dict[str, Any] = {"after": reader.distinct((*path, "after"), entry.pop("after", []))}
        if "group" in entry:
            ready["group"] = _group(reader, path, entry.pop("group"), columns)
        deadline = reader.build(Deadline, path, entry, **ready)
        if isinstance(deadline, Deadline):
            _check_days(reader, path, "after", deadline.after, deadline.days)
            rules.append(deadline)
    return tuple(rules)


def windows(reader: FieldReader) -> tuple[Window, ...]:
    """`windows`: what comes too late after others."""
    rules: list[Window] = []
    for path, entry in reader.entries(("events", "windows")):
        since = reader.distinct((*path, "since"), entry.pop("since", []))
        window = reader.build(Window, path, entry, since=since)
        if not isinstance(window, Window):
            continue
        _check_days(reader, path, "since", window.since, window.days)
        if any((window.event, window.since) == (other.event, other.since) for other in rules):
            reader.document.problem(path, "is declared already: keep the shorter one")
        rules.append(window)
    return tuple(rules)


def _check_days(
    reader: FieldReader, path: Path_, field: str, types: tuple[str, ...], days: int
) -> None:
    if not types:
        reader.document.problem((*path, field), "must name at least one type")
    if days < 0:
        reader.document.problem((*path, "days"), f"must be at least 0, is {days}")


def largest_steps(
    reader: FieldReader, attributes: Mapping[str, Column]
) -> Mapping[str, int] | None:
    """`largest_steps`: of ordinal attributes."""
    path: Path_ = ("events", "largest_steps")
    steps: dict[str, int] = {}
    for name, most in reader.section(path, required=False).items():
        place, column = (*path, name), attributes.get(name)
        if fault := type_fault(int, most):
            reader.document.problem(place, fault)
        elif most < 1:
            reader.document.problem(place, f"must be at least 1, is {most}")
        else:
            steps[name] = most
        if column is None:
            reader.document.problem(place, f"no attribute named {name!r} under events.attributes")
        elif column.kind != "ordinal":
            reader.document.problem(
                place, f"{name} is {column.kind}: only ordinal attributes have steps"
            )
    return freeze(steps) or None
