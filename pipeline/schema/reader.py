"""Turns a declaration into a Schema, collecting every mistake with its place
(pipeline/schema/document.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pipeline.schema import document
from pipeline.schema.column_rules import RuleReader
from pipeline.schema.document import Document, Path_
from pipeline.schema.events import read_events
from pipeline.schema.known_reader import read_known
from pipeline.schema.layouts import check_layout
from pipeline.schema.names import column_fault, short_fault, static_fault, within
from pipeline.schema.population import PopulationReader
from pipeline.schema.review import refuse_reviews
from pipeline.schema.tables import TableReader
from pipeline.schema.value_types import in_short
from pipeline.schema.values import Column, Layout, Population, Schema, Table, freeze

SCHEMA_FIELDS = {
    "dataset",
    "title",
    "source",
    "public",
    "layout",
    "population",
    "tables",
    "patients",
    "events",
    "implications",
    "order",
    "equal",
    "known",
    "related",
    "targets",
    "quasi_identifiers",
    "strata",
    "citation",
    "licence",
}


def read_schema(path: Path) -> Schema:
    """The checked declaration at `path`. Raises DeclarationError with all mistakes at once."""
    return read_schema_with_warnings(path)[0]


def read_schema_with_warnings(path: Path) -> tuple[Schema, tuple[str, ...]]:
    """As `read_schema`, with what can be read but is likely meant otherwise: each as `file:line:
    field: what and what to do`.
    """
    declaration: Document = document.read(path)
    refuse_reviews(declaration)
    schema = SchemaReader(declaration).schema()
    declaration.raise_problems()
    assert schema is not None
    return schema, declaration.warnings


class SchemaReader(TableReader, RuleReader, PopulationReader):
    """Reads the whole declaration: tables, static columns, what implies what, the population."""

    def patient_columns(self, layout: Any, tables: Mapping[str, Table]) -> dict[str, Column]:
        for name in self.section(("patients",), required=False):
            if name != "columns":
                self.document.problem(
                    ("patients", name), "is not a field; static columns stand under columns"
                )
        section = self.section(("patients", "columns"), required=layout == "registry")
        if not section:
            first = next(iter(tables.values()), None)
            return {c.name: c for c in first.columns.values() if c.is_modelled} if first else {}
        columns = {}
        for name, value in section.items():
            path = ("patients", "columns", name)
            if fault := column_fault(name):
                self.document.problem(path, fault)
            base = self._base(path, value, tables) if isinstance(value, dict) else None
            column = self.column(path, name, value if base else _without(value, "like"), base)
            if column is not None:
                columns[name] = column
        return columns

    def _base(
        self, path: Path_, value: Mapping[str, Any], tables: Mapping[str, Table]
    ) -> Column | None:
        """The column that a static column is `like`."""
        if "like" not in value:
            return None
        table, _, column = str(value["like"]).partition(".")
        base = tables[table].columns.get(within(column)) if table in tables else None
        if base is None:
            self.document.problem((*path, "like"), f"no column {in_short(value['like'])} in tables")
        return base

    def check_static_names(self, columns: Mapping[str, Column], *, has_events: bool) -> None:
        """A static column stands beside our own."""
        is_named = bool(self.section(("patients", "columns"), required=False))
        for name in columns:
            name_there = "patient_id" if name == within("patient_id") else name
            if fault := static_fault(name_there, has_events=has_events):
                table = next(iter(self.section(("tables",))), "")
                path: Path_ = ("patients", "columns") if is_named else ("tables", table, "columns")
                self.document.problem((*path, name_there), fault)

    def schema(self) -> Schema | None:
        top = self.document.value
        for name in top:
            if name not in SCHEMA_FIELDS:
                self.document.problem(
                    (name,), f"is not a field; known here: {', '.join(sorted(SCHEMA_FIELDS))}"
                )
        layout = top.get("layout", "table")
        self.one_of(("layout",), layout, get_args(Layout))
        if "dataset" in top and (fault := short_fault(top["dataset"])):
            self.document.problem(("dataset",), fault)
        tables = self.tables()
        columns = self.patient_columns(layout, tables)
        has_events = top.get("events") is not None
        self.check_static_names(columns, has_events=has_events)
        population = self.population()
        if population is not None:
            self.check_cohorts(population, tables, columns)
            self._check_public(population)
        values: dict[str, Any] = {
            name: top[name]
            for name in ("dataset", "title", "source", "public", "citation", "licence")
            if name in top
        }
        schema = self.build(
            Schema,
            (),
            values,
            layout=layout,
            population=population,
            tables=freeze(tables),
            patients=freeze(columns),
            events=read_events(self, columns),
            **self._rules(columns),
        )
        if isinstance(schema, Schema):
            check_layout(self, schema)
            return schema
        return None

    def _rules(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        """What is said about static columns together, by field."""
        rules: dict[str, Any] = {
            name: self._static_names(name, columns)
            for name in ("targets", "quasi_identifiers", "strata")
        }
        rules |= {
            "implications": self.implications(columns),
            "order": self.orders(columns),
            "equal": self.equals(columns),
            "related": self.relations(columns),
        }
        rules["known"] = read_known(self, columns, rules["implications"])
        # rules name the column that is copied, for its copies are not drawn
        implied = [name for rule in rules["implications"] for name in (rule.given, rule.then)]
        ordered = [name for chain in rules["order"] for name in chain]
        others = {
            "implications": implied,
            "order": ordered,
            "targets": rules["targets"],
            "known": [name for table in rules["known"] for name in table.columns],
            "related": [name for names in rules["related"] for name in names],
        }
        self.check_copies(rules["equal"], others)
        return rules

    def _static_names(self, field: str, columns: Mapping[str, Column]) -> tuple[str, ...]:
        value = self.document.value.get(field)
        names = () if value is None else self.distinct((field,), value)
        for name in names:
            if name not in columns:
                self.document.problem((field,), f"no static column named {name!r}")
        return names

    def _check_public(self, population: Population) -> None:
        public = self.document.value.get("public")
        if public is not (population.kind != "confidential"):
            self.document.problem(
                ("public",), f"{in_short(public)} does not fit population.kind {population.kind}"
            )


def _without(value: Any, key: str) -> Any:
    return {k: v for k, v in value.items() if k != key} if isinstance(value, dict) else value
