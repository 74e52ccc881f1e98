"""Fields of a declaration, read into values with every mistake noted at its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from datetime import date, datetime
from typing import Any

from pipeline.schema import code_relations
from pipeline.schema.document import Document, Path_
from pipeline.schema.value_types import field_types, in_short, is_scalar, type_fault
from pipeline.schema.values import freeze

EPOCH = date(1970, 1, 1)
LARGEST = 2**53  # above it a float has no room for every whole number
MOST_TOGETHER = 3  # columns of one relation, and of one published table
Allowed = Mapping[str, tuple[str | None, ...]]


class FieldReader:
    """Reads fields of one document; notes mistakes and goes on with what is left."""

    def __init__(self, document: Document):
        self.document = document

    def section(self, path: Path_, required: bool = True) -> dict[str, Any]:
        """The mapping at `path`, by names; empty where there is none."""
        value: Any = self.document.value
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None and not required:
            return {}
        if not isinstance(value, dict):
            self.document.problem(
                path,
                f"must be a mapping, is {in_short(value)}" if value is not None else "is missing",
            )
            return {}
        return self.by_name(path, value)

    def by_name(self, path: Path_, value: Mapping[Any, Any]) -> dict[str, Any]:
        """The entries of a mapping whose keys are text; the others are mistakes."""
        for key in value:
            if not isinstance(key, str):
                self.document.problem(
                    (*path, key), f"a name is text, this is {in_short(key)}: put it in quotes"
                )
        return {key: item for key, item in value.items() if isinstance(key, str)}

    def entries(self, path: Path_) -> Iterator[tuple[Path_, dict[str, Any]]]:
        """The mappings of the list at `path`, each with its path; none where there is no list."""
        value: Any = self.document.value
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None and not isinstance(value, list):
            self.document.problem(path, f"must be a list, is {in_short(value)}")
            return
        for index, entry in enumerate(value or []):
            if isinstance(entry, dict):
                yield (*path, index), self.by_name((*path, index), entry)
            else:
                self.document.problem((*path, index), f"must be a mapping, is {in_short(entry)}")

    def build(self, kind: type, path: Path_, entry: Mapping[str, Any], /, **ready: Any) -> Any:
        """`kind(**entry)` with unknown, missing and ill-typed fields noted instead of raised; None
        where it cannot be built. What is `ready` was read before.
        """
        field_by_name = {field.name: field for field in fields(kind)}
        hints = field_types(kind)
        values = dict(ready)
        for name, value in entry.items():
            if name not in field_by_name:
                self.document.problem(
                    (*path, name), f"is not a field; known here: {', '.join(sorted(field_by_name))}"
                )
            elif fault := type_fault(hints[name], value):
                self.document.problem((*path, name), fault)
            else:
                values.setdefault(name, value)
        lacking = [
            name
            for name, field in field_by_name.items()
            if name not in values and field.default is MISSING and field.default_factory is MISSING
        ]
        for name in (name for name in lacking if name not in entry):
            self.document.problem(path, f"field {name!r} is missing")
        return None if lacking else kind(**values)

    def one_of(self, path: Path_, value: Any, allowed: tuple[str, ...]) -> None:
        if value not in allowed:
            self.document.problem(path, f"{in_short(value)} is none of {', '.join(allowed)}")

    def strings(self, path: Path_, value: Any) -> tuple[str, ...]:
        """A list of single values as texts."""
        if not isinstance(value, (list, tuple)):
            self.document.problem(path, f"must be a list, is {in_short(value)}")
            return ()
        for item in value:
            if isinstance(item, bool):
                self.document.problem(path, f"{item!r} was read as true or false: put it in quotes")
            elif not is_scalar(item):
                self.document.problem(
                    path, f"must be a list of single values, holds {in_short(item)}"
                )
        return tuple(str(item) for item in value if is_scalar(item))

    def distinct(self, path: Path_, value: Any) -> tuple[str, ...]:
        """As `strings`; nothing twice."""
        items = self.strings(path, value)
        if twice := sorted({item for item in items if items.count(item) > 1}):
            self.document.problem(path, f"listed twice: {', '.join(twice)}")
        return items

    def labels(self, path: Path_, value: Any) -> tuple[str, ...]:
        """As `strings`, of texts that a cell of the source can hold once blanks around it are gone
        (`blanks` in ingest/repairs.py).
        """
        items = self.strings(path, value)
        for item in items:
            if item.replace("\u00a0", " ").strip() != item or not item:
                self.document.problem(
                    path,
                    f"{item!r} is met by no cell, for blanks around a value go and an empty cell is"
                    " missing: write it without them",
                )
            elif not item.isprintable():
                self.document.problem(path, f"{item!r} holds a line break or another control sign")
        plain = [item.strip() for item in items]
        if twice := sorted({item for item in plain if plain.count(item) > 1}):
            self.document.problem(path, f"listed twice: {', '.join(twice)}")
        return items

    def named(self, path: Path_, name: Any, find: Callable[[str], Any]) -> Any:
        """A shared code list or relation from datasets/codes/."""
        try:
            return find(str(name))
        except KeyError:
            self.document.problem(path, f"no list named {in_short(name)} in datasets/codes")
            return None

    def relation(self, path: Path_, values: Mapping[str, Any]) -> Allowed:
        """What `allowed` or `allowed_from` says."""
        if "allowed_from" in values:
            if "allowed" in values:
                self.document.problem(path, "says allowed and allowed_from: leave one of them out")
            name = values["allowed_from"]
            return freeze(
                dict(self.named((*path, "allowed_from"), name, code_relations.relation) or {})
            )
        allowed = values.get("allowed")
        if not isinstance(allowed, Mapping):
            self.document.problem(
                path,
                "needs allowed (a mapping of lists) or allowed_from (a relation of datasets/codes)",
            )
            return freeze({})
        return self.value_lists((*path, "allowed"), allowed)

    def value_lists(self, path: Path_, values: Mapping[Any, Any]) -> Allowed:
        """A mapping of values to lists of values as texts; an empty item is None."""
        listing: dict[str, tuple[str | None, ...]] = {}
        for key, items in values.items():
            place = (*path, key)
            if isinstance(key, bool) or not is_scalar(key):
                self.document.problem(place, f"{in_short(key)} is no value: put it in quotes")
            elif not isinstance(items, list):
                self.document.problem(place, f"must be a list of values, is {in_short(items)}")
            else:
                texts = iter(self.strings(place, [item for item in items if item is not None]))
                listing[str(key)] = tuple(
                    None if item is None else next(texts)
                    for item in items
                    if item is None or is_scalar(item)
                )
        return freeze(listing)

    def number(self, path: Path_, value: Any, kind: Any) -> float | None:
        """A bound: of a date in days since 1970-01-01."""
        day = day_of(value)
        if kind == "date" or (day is not None and kind != "continuous"):
            if day is None:
                self.document.problem(
                    path, f"must be a date, YYYY-MM-DD, for a column of dates; is {in_short(value)}"
                )
            return day
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.document.problem(path, f"must be a number, is {in_short(value)}")
            return None
        if not -LARGEST <= value <= LARGEST:
            self.document.problem(
                path,
                f"{value!r} is beyond 2^53, where numbers lose their last digit: write a bound that"
                " the source can reach, or make the column text",
            )
            return None
        return float(value)


def day_of(value: Any) -> float | None:
    """Days since 1970-01-01 of a date or an ISO date's text; None for anything else."""
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, date) or isinstance(value, datetime):
        return None
    return float((value - EPOCH).days)
