"""Turns a declaration into a Schema, collecting every mistake with its place (pipeline/declaration.py)."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import date
from pathlib import Path
from typing import Any, get_args

from pipeline import codes_relations, declaration
from pipeline.declaration import Document, Path_
from pipeline.schema import (
    Column,
    Deadline,
    EventLog,
    EventSource,
    EventType,
    Implication,
    Kind,
    Layout,
    LegalCodes,
    Population,
    Role,
    Schema,
    Table,
    freeze,
)

DEFAULT_GAP_EDGES = (0, 1, 2, 3, 5, 7, 8, 10, 14, 15, 18, 21, 22, 25, 28, 29, 32, 36, 42, 49, 56, 63, 75, 90, 105, 120,
                     150, 180, 240, 300, 365, 455, 545, 730, 910, 1095, 1460, 1825, 2190, 2920)  # days
SCHEMA_FIELDS = {"dataset", "title", "source", "public", "layout", "population", "tables", "patients", "events", "implications",
                 "targets", "quasi_identifiers", "strata", "citation", "licence"}
EPOCH = date(1970, 1, 1)


def read_schema(path: Path) -> Schema:
    """The checked declaration at `path`. Raises DeclarationError with all mistakes at once."""
    document = declaration.read(path)
    reader = _Reader(document)
    schema = reader.schema()
    document.raise_problems()
    assert schema is not None
    return schema


class _Reader:
    """Walks one document. Each method reads one part, notes mistakes, and goes on with what is left."""

    def __init__(self, document: Document):
        self.document = document

    # --- the small things ---

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

    def build(self, kind: type, path: Path_, given: Mapping[str, Any], **ready: Any) -> Any:
        """`kind(**given)` with unknown and missing fields noted instead of raised; None where it cannot be built."""
        known = {field.name: field for field in fields(kind)}
        for name in given:
            if name not in known:
                self.document.problem((*path, name), f"is not a field; known here: {', '.join(sorted(known))}")
        values = {name: value for name, value in given.items() if name in known} | ready
        lacking = [name for name, field in known.items()
                   if name not in values and field.default is MISSING and field.default_factory is MISSING]
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

    # --- columns and tables ---

    def column(self, path: Path_, name: str, given: Any, base: Column | None = None) -> Column | None:
        if not isinstance(given, dict):
            self.document.problem(path, "must be a mapping such as {kind: categorical, categories: [a, b]}")
            return None
        values = dict(given)
        ready: dict[str, Any] = {"name": name}
        if base is not None:
            ready = {field.name: getattr(base, field.name) for field in fields(Column)} | ready
            values.pop("like", None)
        if "categories_from" in values:
            found = self.named((*path, "categories_from"), values.pop("categories_from"), codes_relations.categories)
            ready["categories"] = tuple(found or ())
        for listed in ("categories", "missing", "aliases", "repairs"):
            if listed in values:
                ready[listed] = self.strings((*path, listed), values.pop(listed))
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
        if column.kind in ("categorical", "ordinal") and column.role == "modelled" and not column.categories:
            self.document.problem(path, "a modelled categorical column needs categories or categories_from")
        if len(set(column.categories)) != len(column.categories):
            twice = sorted({c for c in column.categories if column.categories.count(c) > 1})
            self.document.problem((*path, "categories"), f"listed twice: {', '.join(twice)}")
        if column.kind in ("continuous", "date") and column.role == "modelled" and (column.lower is None or column.upper is None):
            self.document.problem(path, "a modelled continuous or date column needs lower and upper from a public source")
        if column.lower is not None and column.upper is not None and not column.lower < column.upper:
            self.document.problem(path, f"lower {column.lower:g} is not below upper {column.upper:g}")
        if column.role == "modelled" and column.kind in ("id", "text"):
            self.document.problem((*path, "role"), f"kind {column.kind} cannot be modelled: carry it, rebuild it or make it a key")
        if column.role == "rebuilt" and not column.rule:
            self.document.problem(path, "a rebuilt column says by which public rule: add rule")

    def tables(self) -> dict[str, Table]:
        tables = {}
        for name, given in self.section(("tables",)).items():
            path = ("tables", name)
            values = dict(self.section(path))
            columns = {c: self.column((*path, "columns", c), c, v) for c, v in self.section((*path, "columns")).items()}
            for listed in ("key", "ignore"):
                if listed in values:
                    values[listed] = self.strings((*path, listed), values[listed])
            if "through" in values:
                values["through"] = self.strings((*path, "through"), values["through"])
            values["columns"] = freeze({c: v for c, v in columns.items() if v is not None})
            table = self.build(Table, path, {k: v for k, v in values.items() if k != "name"}, name=name)
            if table is not None:
                self.check_table(path, table)
                tables[name] = table
        for name, table in tables.items():
            if table.through and table.through[0] not in tables:
                self.document.problem(("tables", name, "through"), f"no table named {table.through[0]!r}")
        return tables

    def check_table(self, path: Path_, table: Table) -> None:
        for field, names in (("key", table.key), ("patient", (table.patient,) if table.patient else ())):
            for column in names:
                if column not in table.columns:
                    self.document.problem((*path, field), f"{column!r} is no column of this table")

    def patient_columns(self, layout: str, tables: Mapping[str, Table]) -> dict[str, Column]:
        given = self.section(("patients", "columns"), required=layout == "registry")
        if not given:
            first = next(iter(tables.values()), None)
            return {c.name: c for c in first.columns.values() if c.is_modelled} if first else {}
        columns = {}
        for name, value in given.items():
            path = ("patients", "columns", name)
            base = None
            if isinstance(value, dict) and "like" in value:
                table, _, column = str(value["like"]).partition(".")
                base = tables[table].columns.get(column) if table in tables else None
                if base is None:
                    self.document.problem((*path, "like"), f"no column {value['like']!r} in tables")
            made = self.column(path, name, value if isinstance(value, dict) and base else _without(value, "like"), base)
            if made is not None:
                columns[name] = made
        return columns

    # --- structure between columns ---

    def implications(self, columns: Mapping[str, Column]) -> tuple[Implication, ...]:
        made = []
        order = {name: index for index, name in enumerate(columns)}
        for index, given in enumerate(self.document.value.get("implications") or []):
            path: Path_ = ("implications", index)
            values = dict(given) if isinstance(given, dict) else {}
            values["allowed"] = self.relation(path, values)
            values.pop("allowed_from", None)
            implication = self.build(Implication, path, values)
            if implication is None:
                continue
            for field in ("given", "then"):
                if getattr(implication, field) not in columns:
                    self.document.problem((*path, field), f"no static column named {getattr(implication, field)!r}")
            if order.get(implication.given, 0) > order.get(implication.then, 0):
                self.document.problem(path, f"{implication.given} must be declared before {implication.then}: parents are drawn first")
            made.append(implication)
        return tuple(made)

    def relation(self, path: Path_, values: Mapping[str, Any]) -> Mapping[str, tuple[str | None, ...]]:
        if "allowed_from" in values:
            return freeze(dict(self.named((*path, "allowed_from"), values["allowed_from"], codes_relations.relation) or {}))
        allowed = values.get("allowed")
        if not isinstance(allowed, Mapping):
            self.document.problem(path, "needs allowed (a mapping of lists) or allowed_from (a relation of datasets/codes)")
            return freeze({})
        return freeze({str(k): tuple(None if item is None else str(item) for item in v) for k, v in allowed.items()})

    # --- the event log ---

    def events(self, columns: Mapping[str, Column]) -> EventLog | None:
        given = self.section(("events",), required=False)
        if not given:
            return None
        path: Path_ = ("events",)
        values = dict(given)
        attributes = {name: self.column((*path, "attributes", name), name, value)
                      for name, value in self.section((*path, "attributes"), required=False).items()}
        values["attributes"] = freeze({name: column for name, column in attributes.items() if column is not None})
        values["types"] = freeze(self.event_types(values["attributes"]))
        values["first"] = self.strings((*path, "first"), values.get("first", []))
        values["legal_codes"] = self.legal_codes(columns, values["types"])
        values["deadlines"] = tuple(
            made for i, d in enumerate(values.get("deadlines") or [])
            if (made := self.build(Deadline, (*path, "deadlines", i), d | {"after": self.strings((*path, "deadlines", i, "after"), d["after"])})))
        values["gap_edges"] = tuple(int(edge) for edge in values.get("gap_edges") or DEFAULT_GAP_EDGES)
        if "observation_end" in values:
            values["observation_end"] = self.strings((*path, "observation_end"), values["observation_end"])
        for source in ("rows", "ending"):
            if source in values:
                values[source] = self.build(EventSource, (*path, source), values[source])
        log = self.build(EventLog, path, values)
        if log is not None:
            self.check_events(log, columns)
        return log

    def event_types(self, attributes: Mapping[str, Column]) -> dict[str, EventType]:
        types = {}
        for name, given in self.section(("events", "types")).items():
            path = ("events", "types", name)
            values = dict(given or {})
            if "codes_from" in values:
                values["codes"] = tuple(self.named((*path, "codes_from"), values.pop("codes_from"), codes_relations.categories) or ())
            for listed in ("codes", "attributes"):
                if listed in values:
                    values[listed] = self.strings((*path, listed), values[listed])
            made = self.build(EventType, path, values, name=name)
            if made is None:
                continue
            for attribute in made.attributes:
                if attribute not in attributes:
                    self.document.problem((*path, "attributes"), f"no attribute named {attribute!r} under events.attributes")
            types[name] = made
        return types

    def legal_codes(self, columns: Mapping[str, Column], types: Mapping[str, EventType]) -> tuple[LegalCodes, ...]:
        made = []
        for index, given in enumerate(self.document.value["events"].get("legal_codes") or []):
            path: Path_ = ("events", "legal_codes", index)
            values = dict(given) | {"allowed": self.relation(path, given)}
            values.pop("allowed_from", None)
            legal = self.build(LegalCodes, path, values)
            if legal is None:
                continue
            if legal.type not in types:
                self.document.problem((*path, "type"), f"no event type named {legal.type!r}")
            if legal.given not in columns:
                self.document.problem((*path, "given"), f"no static column named {legal.given!r}")
            made.append(legal)
        return tuple(made)

    def check_events(self, log: EventLog, columns: Mapping[str, Column]) -> None:
        path: Path_ = ("events",)
        if log.origin not in columns or columns[log.origin].kind != "date":
            self.document.problem((*path, "origin"), f"{log.origin!r} must be a static column of kind date")
        if not log.terminal:
            self.document.problem((*path, "types"), "no type is terminal: every pathway needs an end")
        named = {"first": log.first, "anchor": (log.anchor,) if log.anchor else (),
                 "deadlines": tuple(n for d in log.deadlines for n in (d.event, *d.after)),
                 "types": tuple(n for t in log.types.values() for n in (t.inside, t.closes) if n)}
        for field, names in named.items():
            for name in names:
                if name not in log.types:
                    self.document.problem((*path, field), f"no event type named {name!r}")
        if list(log.gap_edges) != sorted(set(log.gap_edges)) or log.gap_edges[:1] != (0,):
            self.document.problem((*path, "gap_edges"), "must ascend from 0")
        if log.max_events < 2:
            self.document.problem((*path, "max_events"), f"must be at least 2, is {log.max_events}")

    # --- the whole ---

    def population(self) -> Population | None:
        path: Path_ = ("population",)
        population = self.build(Population, path, self.section(path))
        if population is None:
            return None
        self.one_of((*path, "kind"), population.kind, ("simulated", "public", "confidential"))
        most = min(1e-6, 0.1 / population.nominal_size)
        if not 0 < population.delta <= most:
            self.document.problem((*path, "delta"), f"{population.delta:g} must be at most {most:g}: 1e-6 and 0.1 / nominal_size (rule 15)")
        if not 0 < population.epsilon <= population.ceiling_epsilon:
            self.document.problem((*path, "epsilon"), "must be positive and at most ceiling_epsilon")
        return population

    def schema(self) -> Schema | None:
        top = self.document.value
        for name in top:
            if name not in SCHEMA_FIELDS:
                self.document.problem((name,), f"is not a field; known here: {', '.join(sorted(SCHEMA_FIELDS))}")
        layout = top.get("layout", "table")
        self.one_of(("layout",), layout, get_args(Layout))
        tables = self.tables()
        columns = self.patient_columns(layout, tables)
        population = self.population()
        if population is not None and top.get("public") is not (population.kind != "confidential"):
            self.document.problem(("public",), f"{top.get('public')!r} does not fit population.kind {population.kind}")
        values = {name: top[name] for name in ("dataset", "title", "source", "public", "citation", "licence") if name in top}
        lists = {name: self.strings((name,), top.get(name) or []) for name in ("targets", "quasi_identifiers", "strata")}
        for name, listed in lists.items():
            for column in listed:
                if column not in columns:
                    self.document.problem((name,), f"no static column named {column!r}")
        return self.build(Schema, (), values, layout=layout, population=population, tables=freeze(tables), patients=freeze(columns),
                          events=self.events(columns), implications=self.implications(columns), **lists)


def _without(value: Any, key: str) -> Any:
    return {k: v for k, v in value.items() if k != key} if isinstance(value, dict) else value
