"""The published tables of a declaration: where they stand, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from math import fsum, prod
from pathlib import Path
from typing import Any

from pipeline.schema import document
from pipeline.schema.document import DeclarationError, Document, Path_
from pipeline.schema.fields import MOST_TOGETHER, FieldReader
from pipeline.schema.known_levels import LevelReader
from pipeline.schema.names import short_fault
from pipeline.schema.value_types import in_short, type_fault
from pipeline.schema.values import Column, Implication, KnownTable, Level

FOLDER = Path(__file__).resolve().parents[2] / "datasets" / "known"
FIELDS = ("name", "columns", "levels", "counts", "source", "year", "weight")


def read_known(
    reader: FieldReader, columns: Mapping[str, Column], implications: Sequence[Implication]
) -> tuple[KnownTable, ...]:
    """The tables under `known`, each from the declaration itself or from a file of
    datasets/known/.
    """
    tables: list[KnownTable] = []
    for path, entry in reader.entries(("known",)):
        if "from" in entry:
            place, entries = _published(reader, path, entry)
        else:
            place, entries = reader.document, {path: entry}
        tables_there = _TableReader(place, columns, implications)
        more = [tables_there.table(here, values) for here, values in entries.items()]
        if place is not reader.document:
            reader.document.adopt(place)
        for table in (table for table in more if table is not None):
            if table.name in {other.name for other in tables}:
                reader.document.problem(path, f"a second table named {table.name!r}")
            tables.append(table)
    return tuple(tables)


def _published(
    reader: FieldReader, path: Path_, entry: Mapping[str, Any]
) -> tuple[Document, dict[Path_, Mapping[str, Any]]]:
    """The tables that `from: FILE` or `from: FILE.TABLE` names, by their place in the file. The
    entry may give a single table another weight.
    """
    for field in entry:
        if field not in ("from", "weight"):
            reader.document.problem(
                (*path, field), "stands in the file that `from` names: leave it out here"
            )
    file, _, name = str(entry["from"]).partition(".")
    if short_fault(file) or not (FOLDER / f"{file}.yaml").is_file():
        reader.document.problem((*path, "from"), f"no file {in_short(file)} in datasets/known")
        return reader.document, {}
    try:
        published = _file(FOLDER / f"{file}.yaml")
    except DeclarationError as error:
        reader.document.problems.extend(error.problems)
        return reader.document, {}
    listing = published.value.get("tables")
    listing = listing if isinstance(listing, dict) else {}
    chosen = {key: item for key, item in listing.items() if key == name or not name}
    if not chosen or not all(isinstance(item, dict) for item in chosen.values()):
        reader.document.problem(
            (*path, "from"),
            f"no table {in_short(name or 'at all')} in datasets/known/{file}.yaml; there are"
            f" {', '.join(map(str, listing)) or 'none'}",
        )
        return reader.document, {}
    other = _other_weight(reader, path, entry, is_single=bool(name))
    return Document(published.value, published.places, published.file), {
        ("tables", key): {"name": key, **item, **other} for key, item in chosen.items()
    }


def _other_weight(
    reader: FieldReader, path: Path_, entry: Mapping[str, Any], *, is_single: bool
) -> dict[str, float]:
    """The weight that an entry gives to a published table; empty where it says none."""
    if "weight" not in entry:
        return {}
    fault = type_fault(float, entry["weight"])
    if not is_single:
        fault = "is of one table: name it, FILE.TABLE"
    elif fault is None and entry["weight"] <= 0:
        fault = f"must be above 0, is {entry['weight']!r}"
    if fault is not None:
        reader.document.problem((*path, "weight"), fault)
        return {}
    return {"weight": entry["weight"]}


@cache
def _file(path: Path) -> Document:
    return document.read(path)


class _TableReader(LevelReader):
    """Reads one table, in the declaration or in a file of its own."""

    def __init__(
        self,
        place: Document,
        columns: Mapping[str, Column],
        implications: Sequence[Implication],
    ):
        super().__init__(place)
        self.static, self.implications = columns, implications

    def table(self, path: Path_, entry: Mapping[str, Any]) -> KnownTable | None:
        """None where it cannot be understood; what is wrong is noted."""
        n_before = len(self.document.problems)
        for name in entry:
            if name not in FIELDS:
                self.document.problem(
                    (*path, name), f"is not a field; known here: {', '.join(FIELDS)}"
                )
        names = self._columns(path, entry)
        by_column = [self._levels(path, entry, names, name) for name in names]
        shares: tuple[float, ...] = ()
        if names and all(levels for levels, _ in by_column):
            place = (*path, "counts")
            shares = self._shares(
                place, self._counts(place, entry.get("counts"), [keys for _, keys in by_column])
            )
        table = self.build(
            KnownTable,
            path,
            {name: entry[name] for name in ("name", "source", "year", "weight") if name in entry},
            columns=names,
            levels=tuple(levels for levels, _ in by_column),
            shares=shares,
        )
        if not isinstance(table, KnownTable):
            return None
        self._check_words(path, table)
        if len(self.document.problems) > n_before:
            return None
        for rule in self.implications:
            if rule.given in table.columns and rule.then in table.columns:
                self._check_rule(path, table, rule)
        return table

    def _columns(self, path: Path_, entry: Mapping[str, Any]) -> tuple[str, ...]:
        """The columns that can be read on."""
        place = (*path, "columns")
        if "columns" not in entry:
            self.document.problem(path, "field 'columns' is missing")
            return ()
        names = self.distinct(place, entry["columns"])
        for name in names:
            if name not in self.static:
                self.document.problem(place, f"no static column named {name!r}")
            elif not self.static[name].is_modelled:
                self.document.problem(place, f"{name} is not modelled: nothing is drawn for it")
        if not 1 <= len(names) <= MOST_TOGETHER:
            self.document.problem(
                place, f"must name one to {MOST_TOGETHER} static columns, has {len(names)}"
            )
            return ()
        is_sound = len(set(names)) == len(names) and all(name in self.static for name in names)
        return names if is_sound else ()

    def _levels(
        self, path: Path_, entry: Mapping[str, Any], columns: Sequence[str], name: str
    ) -> tuple[tuple[Level, ...], tuple[Any, ...]]:
        """The levels of a column, and what the counts may call them. Those of the first column may
        be left out where its counts are by value.
        """
        section, is_first = entry.get("levels", {}), name == columns[0]
        if not isinstance(section, Mapping):
            self.document.problem((*path, "levels"), "must be a mapping of columns to their levels")
            return (), ()
        for key in section if is_first else ():
            if key not in columns:
                self.document.problem((*path, "levels", key), "is none of the table's columns")
        counts = entry.get("counts")
        if name in section:
            return self.levels((*path, "levels", name), section[name], self.static[name])
        if is_first and isinstance(counts, Mapping):
            by_value = {key: key for key in counts}
            return self.levels((*path, "counts"), by_value, self.static[name])
        self.document.problem(path, f"levels of {name} are missing")
        return (), ()

    def _counts(self, path: Path_, value: Any, keys: Sequence[Sequence[Any]]) -> list[float]:
        """The numbers in C order; a shorter list where some are wrong, which is noted."""
        if not keys:
            if fault := type_fault(float, value):
                self.document.problem(path, fault)
                return []
            if value < 0:
                self.document.problem(path, f"{value!r} is below 0: nobody counts so")
            return [float(value)]
        n_cells = prod(len(names) for names in keys)
        if isinstance(value, Mapping):
            items = self._by_level(path, value, keys[0])
        elif isinstance(value, list):
            is_flat = len(keys) > 1 and len(value) == n_cells and not _is_nested(value)
            if is_flat:
                inner = n_cells // len(keys[0])
                value = [value[at : at + inner] for at in range(0, n_cells, inner)]
            if len(value) != len(keys[0]):
                n_items = f"{len(keys[0])}" if len(keys) == 1 else f"{len(keys[0])} lists"
                self.document.problem(path, f"must have {n_items}, has {len(value)}")
                return []
            items = [((*path, index), item) for index, item in enumerate(value)]
        else:
            self.document.problem(
                path, f"must be a list with a count for each level, is {in_short(value)}"
            )
            return []
        parts = [self._counts(place, item, keys[1:]) for place, item in items]
        return [count for part in parts for count in part]

    def _by_level(
        self, path: Path_, value: Mapping[Any, Any], names: Sequence[Any]
    ) -> list[tuple[Path_, Any]]:
        """The counts in the order of the levels, from a mapping by their names."""
        for key in value:
            if key not in names:
                self.document.problem(
                    (*path, key),
                    f"{in_short(key)} is no level here: there are {', '.join(map(str, names))}",
                )
        for name in names:
            if name not in value:
                self.document.problem(path, f"has no count for the level {name}")
        return [((*path, name), value[name]) for name in names if name in value]

    def _shares(self, path: Path_, counts: Sequence[float]) -> tuple[float, ...]:
        total = fsum(counts)
        if counts and not total > 0:
            self.document.problem(path, "are all 0: such a table says nothing")
        return tuple(count / total for count in counts) if total > 0 else ()

    def _check_words(self, path: Path_, table: KnownTable) -> None:
        for field in ("source", "year"):
            if not getattr(table, field).strip():
                self.document.problem(
                    (*path, field), "is empty: say where, and of which year, it was published"
                )
        if fault := short_fault(table.name):
            self.document.problem((*path, "name"), fault)
        if not table.weight > 0:
            self.document.problem((*path, "weight"), f"must be above 0, is {table.weight!r}")

    def _check_rule(self, path: Path_, table: KnownTable, rule: Implication) -> None:
        """Warns of shares that no patient can have."""
        cause_at, then_at = table.columns.index(rule.given), table.columns.index(rule.then)
        cells = product(*(range(len(levels)) for levels in table.levels))
        for cell, share in zip(cells, table.shares, strict=True):
            cause, effect = (
                table.levels[cause_at][cell[cause_at]],
                table.levels[then_at][cell[then_at]],
            )
            if share > 0 and not _is_possible(rule, cause, effect):
                self.document.warn(
                    (*path, "counts"),
                    f"{_words(cause)} of {rule.given} has a count with {_words(effect)} of"
                    f" {rule.then}, which an implication forbids: write 0",
                )


def _is_possible(rule: Implication, cause: Level, effect: Level) -> bool:
    """Whether some value of the one level may go with some value of the other."""
    if effect.low is not None and effect.high is not None:
        return True  # a range may hold a value that is free
    allowed = [rule.allowed.get(value) for value in cause.values if value is not None]
    if len(allowed) < len(cause.values) or None in allowed:
        return True  # what is missing or not listed restricts nothing
    return any(set(values) & set(effect.values) for values in allowed if values is not None)


def _is_nested(value: Sequence[Any]) -> bool:
    return any(isinstance(item, list | Mapping) for item in value)


def _words(level: Level) -> str:
    if level.low is not None:
        return f"{level.low:g} to {level.high:g}"
    return ", ".join("missing" if value is None else value for value in level.values)
