"""The population of a declaration: whom the ledger charges, in which groups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from typing import Any

from pipeline.population_limits import KINDS, LARGEST_DELTA, largest_delta
from pipeline.schema.document import Path_
from pipeline.schema.fields import FieldReader
from pipeline.schema.names import short_fault
from pipeline.schema.value_types import type_fault
from pipeline.schema.values import Cohorts, Column, Population, Table

LARGEST_POPULATION = 10_000_000_000


class PopulationReader(FieldReader):
    """Reads the population and its cohorts."""

    def population(self) -> Population | None:
        path: Path_ = ("population",)
        values = dict(self.section(path))
        if values.get("cohorts") is not None:
            values["cohorts"] = self._cohorts((*path, "cohorts"))
        population = self.build(Population, path, values)
        if not isinstance(population, Population):
            return None
        self.one_of((*path, "kind"), population.kind, KINDS)
        if fault := short_fault(population.name):
            self.document.problem((*path, "name"), fault)
        if not 1 <= population.nominal_size <= LARGEST_POPULATION:
            self.document.problem(
                (*path, "nominal_size"), "must be at least 1, and no more than there are people"
            )
            return None
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
        if column is None or not column.is_numeric:
            self.document.problem(
                (*path, "column"), f"{cohorts.column!r} is no static column of dates or numbers"
            )
            return
        starts: list[Any] = list(cohorts.starts.values())
        expectation = date if column.kind == "date" else float
        if any(type_fault(expectation, start) for start in starts):
            self.document.problem(
                (*path, "starts"), f"must be dates or numbers, as {cohorts.column} is"
            )
        elif len(starts) < 2 or any(later <= earlier for earlier, later in pairwise(starts)):
            self.document.problem(
                (*path, "starts"),
                "must name at least two cohorts, each with its lowest value, ascending",
            )

    def _cohorts(self, path: Path_) -> Cohorts | None:
        cohorts = self.build(Cohorts, path, self.section(path))
        if not isinstance(cohorts, Cohorts):
            return None
        for name in self.by_name((*path, "starts"), cohorts.starts):
            if fault := short_fault(name):
                self.document.problem((*path, "starts", name), fault)
        return cohorts
