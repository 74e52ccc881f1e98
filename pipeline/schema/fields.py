"""Fields and columns of a declaration, read into values with every mistake noted at its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import date
from typing import Any, get_args

from pipeline.schema import code_relations
from pipeline.schema.document import Document, Path_
from pipeline.schema.source_formats import format_problems
from pipeline.schema.values import Column, Kind, Role, freeze

EPOCH = date(1970, 1, 1)


class FieldReader:
    """Reads fields and columns of one document; notes mistakes and goes on with what is left."""

    def __init__(self, document: Document):
        self.document = document

    def section(self, path: Path_, required: bool = True) -> dict[str, Any]:
        value: Any = self.document.value
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None and not required:
            return {}
        if not isinstance(value, dict):
            self.document.problem(path, "must be a mapping" if value is not None else "is missing")
            return {}
        return value

    def build(self, kind: type, path: Path_, entry: Mapping[str, Any], /, **ready: Any) -> Any:
        """`kind(**entry)` with unknown and missing fields noted instead of raised; None where it
        cannot be built.
        """
        field_by_name = {field.name: field for field in fields(kind)}
        for name in entry:
            if name not in field_by_name:
                self.document.problem(
                    (*path, name), f"is not a field; known here: {', '.join(sorted(field_by_name))}"
                )
        values = {name: value for name, value in entry.items() if name in field_by_name} | ready
        lacking = [
            name
            for name, field in field_by_name.items()
            if name not in values and field.default is MISSING and field.default_factory is MISSING
        ]
        for name in lacking:
            self.document.problem(path, f"field {name!r} is missing")
        return None if lacking else kind(**values)

    def one_of(self, path: Path_, value: Any, allowed: tuple[str, ...]) -> None:
        if value not in allowed:
            self.document.problem(path, f"{value!r} is none of {', '.join(allowed)}")

    def strings(self, path: Path_, value: Any) -> tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            self.document.problem(path, f"must be a list, is {value!r}")
            return ()
        for item in value:
            if isinstance(item, bool):
                self.document.problem(path, f"{item!r} was read as true or false: put it in quotes")
        return tuple(str(item) for item in value)

    def named(self, path: Path_, name: Any, find: Callable[[str], Any]) -> Any:
        """A shared code list or relation from datasets/codes/."""
        try:
            return find(str(name))
        except KeyError:
            self.document.problem(path, f"no list named {name!r} in datasets/codes")
            return None

    def column(
        self, path: Path_, name: str, entry: Any, base: Column | None = None
    ) -> Column | None:
        if not isinstance(entry, dict):
            self.document.problem(
                path, "must be a mapping such as {kind: categorical, categories: [a, b]}"
            )
            return None
        values = dict(entry)
        is_registry = self.document.value.get("layout") == "registry"
        ready: dict[str, Any] = {"name": name, "integer": is_registry}  # as its dictionary says
        if base is not None:
            ready = {one.name: getattr(base, one.name) for one in fields(Column)} | ready
            values.pop("like", None)
        if "categories_from" in values:
            categories = self.named(
                (*path, "categories_from"), values.pop("categories_from"), code_relations.categories
            )
            ready["categories"] = tuple(categories or ())
        for field in ("categories", "missing", "aliases", "repairs", "booleans"):
            if field in values:
                ready[field] = self.strings((*path, field), values.pop(field))
        for bound in ("lower", "upper"):
            if bound in values:
                ready[bound] = self.bound((*path, bound), values.pop(bound))
        if "atoms" in values:
            ready["atoms"] = tuple(float(atom) for atom in values.pop("atoms"))
        for overridden in values:
            ready.pop(overridden, None)
        column = self.build(Column, path, values, **ready)
        if column is not None:
            self.check_column(path, column)
        return column

    def bound(self, path: Path_, value: Any) -> float | None:
        if isinstance(value, date):
            return float((value - EPOCH).days)
        if isinstance(value, str):
            try:
                return float((date.fromisoformat(value) - EPOCH).days)
            except ValueError:
                pass
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.document.problem(path, f"must be a number or an ISO date, is {value!r}")
            return None
        return float(value)

    def check_column(self, path: Path_, column: Column) -> None:
        self.one_of((*path, "kind"), column.kind, get_args(Kind))
        self.one_of((*path, "role"), column.role, get_args(Role))
        if column.is_categorical and column.role == "modelled" and not column.categories:
            self.document.problem(
                path, "a modelled categorical column needs categories or categories_from"
            )
        if len(set(column.categories)) != len(column.categories):
            twice = sorted({c for c in column.categories if column.categories.count(c) > 1})
            self.document.problem((*path, "categories"), f"listed twice: {', '.join(twice)}")
        if (
            column.is_numeric
            and column.role == "modelled"
            and (column.lower is None or column.upper is None)
        ):
            self.document.problem(
                path,
                "a modelled continuous or date column needs lower and upper from a public source",
            )
        if (
            column.lower is not None
            and column.upper is not None
            and not column.lower < column.upper
        ):
            self.document.problem(
                path, f"lower {column.lower:g} is not below upper {column.upper:g}"
            )
        for field, message in format_problems(column):
            self.document.problem((*path, field), message)
        if column.role == "modelled" and column.kind in ("id", "text"):
            self.document.problem(
                (*path, "role"),
                f"kind {column.kind} cannot be modelled: carry it, rebuild it or make it a key",
            )
        if column.role == "rebuilt" and not column.rule:
            self.document.problem(path, "a rebuilt column says by which public rule: add rule")

    def relation(
        self, path: Path_, values: Mapping[str, Any]
    ) -> Mapping[str, tuple[str | None, ...]]:
        if "allowed_from" in values:
            return freeze(
                dict(
                    self.named(
                        (*path, "allowed_from"), values["allowed_from"], code_relations.relation
                    )
                    or {}
                )
            )
        allowed = values.get("allowed")
        if not isinstance(allowed, Mapping):
            self.document.problem(
                path,
                "needs allowed (a mapping of lists) or allowed_from (a relation of datasets/codes)",
            )
            return freeze({})
        return freeze(
            {
                str(k): tuple(None if item is None else str(item) for item in v)
                for k, v in allowed.items()
            }
        )
