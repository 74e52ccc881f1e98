"""The columns of a declaration, and what is wrong with one by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

from pipeline.schema import code_relations
from pipeline.schema.codes import lists
from pipeline.schema.document import Path_
from pipeline.schema.fields import LARGEST, FieldReader, day_of
from pipeline.schema.names import header_fault
from pipeline.schema.repair_names import filled_value, repair_fault, replaced_value
from pipeline.schema.review import PUBLIC_ROWS, learned_range
from pipeline.schema.source_formats import format_problems
from pipeline.schema.value_types import in_short
from pipeline.schema.values import Column, Kind, Role

MOST_DECIMALS = 15
_OF_NUMBERS = ("lower", "upper", "atoms", "decimals", "transform", "scale", "breaks")
NARROW = 2  # bounds so near to each other are rarely those of whole numbers


class ColumnReader(FieldReader):
    """Reads columns of tables, static columns and attributes of events."""

    def column(
        self, path: Path_, name: str, entry: Any, base: Column | None = None
    ) -> Column | None:
        """base: the column that this one is `like`."""
        if not isinstance(entry, dict):
            self.document.problem(
                path, "must be a mapping such as {kind: categorical, categories: [a, b]}"
            )
            return None
        entry = self.by_name(path, entry)
        values = dict(entry)
        is_registry = self.document.value.get("layout") == "registry"
        ready: dict[str, Any] = {"integer": is_registry}  # ids, as its dictionary says
        if base is not None:
            ready = {one.name: getattr(base, one.name) for one in fields(Column)}
            values.pop("like", None)
        if "name" in values:
            self.document.problem((*path, "name"), "is the key above; leave it out here")
            values.pop("name")
        kind = values.get("kind", base.kind if base is not None else None)
        ready |= self._lists(path, values) | self._bounds(path, values, kind)
        ready |= learned_range(self, path, entry, kind)
        for name_ in values:
            ready.pop(name_, None)
        ready["name"] = name
        column = self.build(Column, path, values, **ready)
        if isinstance(column, Column):
            self._check(path, column, entry, base)
            return column
        return None

    def _lists(self, path: Path_, values: dict[str, Any]) -> dict[str, Any]:
        """The lists among the values, which go from there."""
        ready: dict[str, Any] = {}
        if "categories_from" in values:
            if "categories" in values:
                self.document.problem(
                    path, "says categories and categories_from: leave one of them out"
                )
            name = values.pop("categories_from")
            listing = self.named((*path, "categories_from"), name, code_relations.categories)
            ready["categories"] = tuple(listing or ())
        for field in ("categories", "booleans"):
            if field in values:
                ready[field] = self.labels((*path, field), values.pop(field))
        if "missing" in values:
            ready["missing"] = self._marks((*path, "missing"), values.pop("missing"))
        for field in ("aliases", "repairs"):
            if field in values:
                ready[field] = self.distinct((*path, field), values.pop(field))
        return ready

    def _marks(self, path: Path_, value: Any) -> tuple[str, ...]:
        """Labels; before them perhaps the empty text, for the empty cell, which is always missing:
        where it is first, missing values leave as empty cells.
        """
        empty = value[:1] if isinstance(value, list) and value[:1] == [""] else []
        return ("",) * len(empty) + self.labels(path, value[1:] if empty else value)

    def _bounds(self, path: Path_, values: dict[str, Any], kind: Any) -> dict[str, Any]:
        ready: dict[str, Any] = {}
        for bound in ("lower", "upper"):
            if bound in values:
                ready[bound] = self.number((*path, bound), values.pop(bound), kind)
        for field in ("atoms", "breaks"):
            if field not in values:
                continue
            entries = values.pop(field)
            if not isinstance(entries, list):
                self.document.problem((*path, field), f"must be a list, is {in_short(entries)}")
                entries = []
            numbers = [self.number((*path, field), one, kind) for one in entries]
            ready[field] = tuple(number for number in numbers if number is not None)
            if len(set(ready[field])) < len(ready[field]):
                self.document.problem((*path, field), "lists a value twice")
        return ready

    def _check(
        self, path: Path_, column: Column, entry: Mapping[str, Any], base: Column | None
    ) -> None:
        self.one_of((*path, "kind"), column.kind, get_args(Kind))
        self.one_of((*path, "role"), column.role, get_args(Role))
        self.one_of((*path, "transform"), column.transform, ("linear", "asinh"))
        for field, spelling in (
            *(("header", header) for header in (column.header,) if header is not None),
            *(("aliases", alias) for alias in column.aliases),
        ):
            if fault := header_fault(spelling):
                self.document.problem((*path, field), fault)
        if column.lookup is not None and column.lookup not in lists.lookups():
            self.document.problem(
                (*path, "lookup"), f"no list named {column.lookup!r} in datasets/codes/lookups.yaml"
            )
        self._check_role(path, column, entry)
        self._check_categories(path, column, entry)
        self._check_bounds(path, column, entry)
        self._check_decimals(path, column, entry, base)
        self._check_missing(path, column)
        self._check_repairs(path, column)
        for field, message in format_problems(column):
            self.document.problem((*path, field), message)

    def _check_role(self, path: Path_, column: Column, entry: Mapping[str, Any]) -> None:
        if column.role == "modelled" and column.kind in ("id", "text"):
            self.document.problem(
                (*path, "role"),
                f"kind {column.kind} cannot be modelled: carry it, rebuild it or make it a key",
            )
        if column.role == "rebuilt" and not column.rule:
            self.document.problem(path, "a rebuilt column says by which public rule: add rule")
        is_of_rows = (column.source or "").startswith(PUBLIC_ROWS)
        if is_of_rows and self.document.value.get("public") is not True:
            self.document.problem(
                (*path, "source"),
                "says that the domain was read from rows, which holds for published rows alone:"
                " find another source (privacy_rules.md 6)",
            )
        has_source = column.source or "categories_from" in entry
        if column.role == "modelled" and not has_source:
            self.document.warn(
                path,
                "says nowhere where its domain is published: add source, for a domain must not"
                " come from patients' rows (privacy_rules.md 6)",
            )

    def _check_categories(self, path: Path_, column: Column, entry: Mapping[str, Any]) -> None:
        if column.is_categorical and column.role == "modelled" and not column.categories:
            self.document.problem(
                path, "a modelled categorical column needs categories or categories_from"
            )
        if column.categories and not column.is_categorical:
            self.document.problem(
                (*path, "categories"),
                f"kind {column.kind} has none: make it categorical or ordinal, or leave them out",
            )
        for field in _OF_NUMBERS:
            if field in entry and not column.is_numeric:
                self.document.problem(
                    (*path, field), f"belongs to numbers and dates, the kind is {column.kind}"
                )

    def _check_bounds(self, path: Path_, column: Column, entry: Mapping[str, Any]) -> None:
        low, high = column.lower, column.upper
        if column.is_numeric and column.role == "modelled" and (low is None or high is None):
            self.document.problem(
                path,
                "a modelled continuous or date column needs lower and upper from a public source",
            )
        if low is not None and high is not None and not low < high:
            self.document.problem(path, f"lower {low:g} is not below upper {high:g}")
        elif low is not None and high is not None and column.is_numeric:
            for atom in column.atoms:
                if not low <= atom <= high:
                    self.document.problem(
                        (*path, "atoms"), f"{atom:g} is not between lower and upper"
                    )
            for one in column.breaks:
                if not low < one <= high:
                    self.document.problem(
                        (*path, "breaks"),
                        f"{one:g} is not above lower and at most upper: a bin begins there",
                    )
        if not column.scale > 0:
            self.document.problem((*path, "scale"), f"must be above 0, is {column.scale!r}")

    def _check_decimals(
        self, path: Path_, column: Column, entry: Mapping[str, Any], base: Column | None
    ) -> None:
        if not 0 <= column.decimals <= MOST_DECIMALS:
            self.document.problem(
                (*path, "decimals"), f"must be from 0 to {MOST_DECIMALS}, is {column.decimals}"
            )
            return
        if column.kind == "date" and column.decimals:
            self.document.problem((*path, "decimals"), "a date has none")
        if column.kind != "continuous":
            return
        low, high = column.lower, column.upper
        for field, values in (
            ("lower", (low,)),
            ("upper", (high,)),
            ("atoms", column.atoms),
            ("breaks", column.breaks),
        ):
            for value in values:
                if value is not None and _has_more_places(value, column.decimals):
                    self.document.problem(
                        (*path, field),
                        f"{value!r} has more places than decimals, {column.decimals}: say how many"
                        " places are kept",
                    )
        if low is None or high is None:
            return
        if (high - low) * 10.0**column.decimals >= 2**52:
            self.document.problem(
                (*path, "decimals"), "pass what a float holds over these bounds; declare fewer"
            )
        is_said = "decimals" in entry or base is not None
        if column.role == "modelled" and not is_said and high - low <= NARROW:
            self.document.problem(
                path,
                f"lower {low:g} and upper {high:g} are so near that decimals must be said: without,"
                " every value is a whole number (`decimals: 2` keeps .01; `decimals: 0` means it)",
            )

    def _check_missing(self, path: Path_, column: Column) -> None:
        for mark in column.missing:
            if mark in column.categories:
                self.document.problem(
                    (*path, "missing"), f"{mark!r} is among the categories, too: it cannot be both"
                )
        is_filled = any(name.startswith("fill(") for name in column.repairs)
        if column.missing and not column.nullable and not is_filled:
            self.document.warn(
                (*path, "missing"),
                "whoever has such a value is dropped, for the column may not be missing: add"
                " nullable: true, or a repair fill(value)",
            )

    def _check_repairs(self, path: Path_, column: Column) -> None:
        for place, name in enumerate(column.repairs):
            if fault := repair_fault(name):
                self.document.problem((*path, "repairs"), fault)
                continue
            value = filled_value(name)
            later = {replaced_value(other) for other in column.repairs[place + 1 :]}
            if value is not None and value not in later and not _takes(column, value):
                self.document.problem(
                    (*path, "repairs"),
                    f"{name} writes {value!r}, which is no legal value of the column",
                )


def _takes(column: Column, text: str) -> bool:
    """Whether a cell with this text is legal; an empty one is missing."""
    if text in ("", *column.missing):
        return column.nullable
    if column.is_categorical:
        return not column.categories or text in column.categories
    try:
        number = day_of(text) if column.kind == "date" else float(text)
    except ValueError:
        number = None
    if not column.is_numeric:
        return True
    low = -LARGEST if column.lower is None else column.lower
    high = LARGEST if column.upper is None else column.upper
    return number is not None and low <= number <= high


def _has_more_places(value: float, decimals: int) -> bool:
    scaled = value * 10.0**decimals
    return abs(scaled - round(scaled)) > 1e-6
