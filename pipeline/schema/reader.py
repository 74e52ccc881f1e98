"""Turns a declaration into a Schema, collecting every mistake with its place
(pipeline/schema/document.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

from pipeline.population_limits import KINDS, LARGEST_DELTA, largest_delta
from pipeline.schema import document
from pipeline.schema.document import Path_
from pipeline.schema.events import read_events
from pipeline.schema.fields import FieldReader
from pipeline.schema.source_formats import SEPARATORS, TABLE_FORMATS, with_formats
from pipeline.schema.values import (
    Cohorts,
    Column,
    Implication,
    Layout,
    Population,
    Schema,
    Table,
    freeze,
)

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
    "targets",
    "quasi_identifiers",
    "strata",
    "citation",
    "licence",
}


def read_schema(path: Path) -> Schema:
    """The checked declaration at `path`. Raises DeclarationError with all mistakes at once."""
    declaration = document.read(path)
    schema = SchemaReader(declaration).schema()
    declaration.raise_problems()
    assert schema is not None
    return schema


class SchemaReader(FieldReader):
    """Reads the whole declaration: tables, static columns, what implies what, the population."""

    def tables(self) -> dict[str, Table]:
        tables = {}
        for name in self.section(("tables",)):
            path = ("tables", name)
            values = dict(self.section(path))
            formats = {name: values.pop(name) for name in TABLE_FORMATS if name in values}
            columns = {
                c: self.column((*path, "columns", c), c, with_formats(v, formats))
                for c, v in self.section((*path, "columns")).items()
            }
            for field_name in ("key", "ignore"):
                if field_name in values:
                    values[field_name] = self.strings((*path, field_name), values[field_name])
            if "through" in values:
                values["through"] = self.strings((*path, "through"), values["through"])
            values["columns"] = freeze({c: v for c, v in columns.items() if v is not None})
            table = self.build(
                Table, path, {k: v for k, v in values.items() if k != "name"}, name=name
            )
            if table is not None:
                self.check_table(path, table)
                tables[name] = table
        for name, table in tables.items():
            if table.through and table.through[0] not in tables:
                self.document.problem(
                    ("tables", name, "through"), f"no table named {table.through[0]!r}"
                )
        return tables

    def check_table(self, path: Path_, table: Table) -> None:
        self.one_of((*path, "separator"), table.separator, SEPARATORS)
        for one in table.columns.values():
            if one.decimal == table.separator and one.kind == "continuous":
                self.document.problem(
                    (*path, "separator"),
                    f"{table.separator!r} is the decimal mark of {one.name}, too",
                )
        for field, names in (
            ("key", table.key),
            ("patient", (table.patient,) if table.patient else ()),
        ):
            for column in names:
                if column not in table.columns:
                    self.document.problem((*path, field), f"{column!r} is no column of this table")

    def patient_columns(self, layout: str, tables: Mapping[str, Table]) -> dict[str, Column]:
        section = self.section(("patients", "columns"), required=layout == "registry")
        if not section:
            first = next(iter(tables.values()), None)
            return {c.name: c for c in first.columns.values() if c.is_modelled} if first else {}
        columns = {}
        for name, value in section.items():
            path = ("patients", "columns", name)
            base = None
            if isinstance(value, dict) and "like" in value:
                table, _, column = str(value["like"]).partition(".")
                base = tables[table].columns.get(column) if table in tables else None
                if base is None:
                    self.document.problem((*path, "like"), f"no column {value['like']!r} in tables")
            patient_column = self.column(
                path,
                name,
                value if isinstance(value, dict) and base else _without(value, "like"),
                base,
            )
            if patient_column is not None:
                columns[name] = patient_column
        return columns

    def implications(self, columns: Mapping[str, Column]) -> tuple[Implication, ...]:
        implications = []
        order = {name: index for index, name in enumerate(columns)}
        for index, entry in enumerate(self.document.value.get("implications") or []):
            path: Path_ = ("implications", index)
            values = dict(entry) if isinstance(entry, dict) else {}
            values["allowed"] = self.relation(path, values)
            values.pop("allowed_from", None)
            implication = self.build(Implication, path, values)
            if implication is None:
                continue
            for field in ("given", "then"):
                if getattr(implication, field) not in columns:
                    self.document.problem(
                        (*path, field), f"no static column named {getattr(implication, field)!r}"
                    )
            if order.get(implication.given, 0) > order.get(implication.then, 0):
                self.document.problem(
                    path,
                    f"{implication.given} must be declared before {implication.then}: parents are"
                    " drawn first",
                )
            implications.append(implication)
        return tuple(implications)

    def population(self) -> Population | None:
        path: Path_ = ("population",)
        values = dict(self.section(path))
        if values.get("cohorts") is not None:
            values["cohorts"] = self.build(
                Cohorts, (*path, "cohorts"), self.section((*path, "cohorts"))
            )
        population = self.build(Population, path, values)
        if population is None:
            return None
        self.one_of((*path, "kind"), population.kind, KINDS)
        most = largest_delta(population.nominal_size)
        if not 0 < population.delta <= most:
            self.document.problem(
                (*path, "delta"),
                f"{population.delta:g} must be at most {most:g}: {LARGEST_DELTA:g} and"
                " 0.1 / nominal_size (privacy_rules.md 15)",
            )
        if not 0 < population.epsilon <= population.ceiling_epsilon:
            self.document.problem(
                (*path, "epsilon"), "must be positive and at most ceiling_epsilon"
            )
        return population

    def check_cohorts(
        self, population: Population, tables: Mapping[str, Table], columns: Mapping[str, Column]
    ) -> None:
        """A patient must be found again at every refresh, and have a value to be sorted by."""
        path: Path_ = ("population", "cohorts")
        cohorts = population.cohorts
        if cohorts is None:
            return
        if not any(table.patient for table in tables.values()):
            self.document.problem(
                path,
                "the tables have no patient's id: nobody could be found again, so nobody's cohort"
                " could be kept (privacy_rules.md 16)",
            )
        column = columns.get(cohorts.column)
        if column is None or column.kind == "categorical":
            self.document.problem(
                (*path, "column"), f"{cohorts.column!r} is no static column of dates or numbers"
            )
        starts: list[Any] = (
            list(cohorts.starts.values()) if isinstance(cohorts.starts, Mapping) else []
        )
        if column is not None and any(
            isinstance(start, date) != (column.kind == "date") for start in starts
        ):
            self.document.problem(
                (*path, "starts"), f"must be dates or numbers, as {cohorts.column} is"
            )
        elif len(starts) < 2 or any(later <= earlier for earlier, later in pairwise(starts)):
            self.document.problem(
                (*path, "starts"),
                "must name at least two cohorts, each with its lowest value, ascending",
            )

    def schema(self) -> Schema | None:
        top = self.document.value
        for name in top:
            if name not in SCHEMA_FIELDS:
                self.document.problem(
                    (name,), f"is not a field; known here: {', '.join(sorted(SCHEMA_FIELDS))}"
                )
        layout = top.get("layout", "table")
        self.one_of(("layout",), layout, get_args(Layout))
        tables = self.tables()
        columns = self.patient_columns(layout, tables)
        population = self.population()
        if population is not None:
            self.check_cohorts(population, tables, columns)
        if population is not None and top.get("public") is not (population.kind != "confidential"):
            self.document.problem(
                ("public",), f"{top.get('public')!r} does not fit population.kind {population.kind}"
            )
        values: dict[str, Any] = {
            name: top[name]
            for name in ("dataset", "title", "source", "public", "citation", "licence")
            if name in top
        }
        lists = {
            name: self.strings((name,), top.get(name) or [])
            for name in ("targets", "quasi_identifiers", "strata")
        }
        for name, names in lists.items():
            for column in names:
                if column not in columns:
                    self.document.problem((name,), f"no static column named {column!r}")
        return self.build(
            Schema,
            (),
            values,
            layout=layout,
            population=population,
            tables=freeze(tables),
            patients=freeze(columns),
            events=read_events(self, columns),
            implications=self.implications(columns),
            **lists,
        )


def _without(value: Any, key: str) -> Any:
    return {k: v for k, v in value.items() if k != key} if isinstance(value, dict) else value
