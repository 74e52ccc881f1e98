"""Everything that is expected of a set of tables, asked at once: the clinical rules by polars, then
all suites by Great Expectations.

The rules' answers become two small tables, so that Great Expectations' results and data docs hold
all 58: one row per patient with true or false for each F rule, and one row of rates. It is the same
for patients' tables (restricted) and synthetic ones.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.checks.expectations.pages import write_docs
from pipeline.checks.expectations.suite_results import SuiteRun
from pipeline.checks.expectations.suite_runs import failed_run, run_suite
from pipeline.checks.expectations.suites import (
    BY_PATIENT,
    EVENTS,
    PATIENTS,
    RATES,
    Suite,
    column_of,
    rules_by_patient,
    rules_by_rate,
    suites,
)
from pipeline.checks.rules import Outcome, Results, RuleContext, check
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

Tables = Mapping[str, pl.DataFrame] | Mapping[str, pl.LazyFrame]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableChecks:
    """The answers. Of patients' tables they are restricted information."""

    runs: tuple[SuiteRun, ...]
    results: Results
    absent: tuple[str, ...]  # required tables that are not there


def context_of(
    schema: Schema, extract_date: date | None, *, is_synthetic: bool, **more: Any
) -> RuleContext:
    """The rules' context of a dataset: the window of diagnoses is the declared one."""
    origin = schema.events.origin if schema.events is not None else None
    column = schema.patients.get(origin) if origin is not None else None
    if column is not None and column.lower is not None and column.upper is not None:
        more = {"first_diagnosis": _day(column.lower), "last_diagnosis": _day(column.upper), **more}
    return RuleContext(extract_date=extract_date, is_synthetic=is_synthetic, **more)


def _day(days: float) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + int(days))


def check_tables(
    schema: Schema,
    tables: Tables,
    context: RuleContext,
    log: PatientLog | None = None,
    with_pages: bool = True,
) -> TableChecks:
    """Asks all suites and rules. `tables` stand under declared names, and are never whole in memory
    together where they are lazy; `log` is the model-level form beside them.
    """
    results = check(schema, tables, context, log)
    rows: dict[str, pl.DataFrame | pl.LazyFrame] = dict(tables)
    if schema.events is not None and log is not None and log.events is not None:
        rows |= {PATIENTS: log.patients, EVENTS: log.events}
    if schema.layout == "registry":
        rows |= {BY_PATIENT: by_patient(results, _ids(schema, tables)), RATES: rates(results)}
    runs = []
    for name, suite in suites(schema, context.gate).items():
        if name in rows:
            logger.debug("checking %s", name)
            runs.append(_run(suite, rows[name], with_pages, is_synthetic=context.is_synthetic))
    absent = tuple(
        table.name
        for table in schema.tables.values()
        if table.required and table.name not in tables
    )
    return TableChecks(tuple(runs), results, absent)


def _run(
    suite: Suite, rows: pl.DataFrame | pl.LazyFrame, with_page: bool, *, is_synthetic: bool
) -> SuiteRun:
    """On patients' tables a suite that raises an exception could not run, and the others go on."""
    if is_synthetic:
        return run_suite(suite, rows, with_page=with_page)
    try:
        return run_suite(suite, rows, with_page=with_page)
    except (Exception, pl.exceptions.PanicException):
        return failed_run(suite)


def _ids(schema: Schema, tables: Tables) -> pl.Series:
    """The ids of all patients that any table names."""
    ids = [
        rows.lazy().select(column).collect()[column].unique()
        for name, rows in tables.items()
        if (column := schema.tables[name].patient or "") in rows.collect_schema()
    ]
    return (
        pl.concat([column.alias("patient_id") for column in ids]).drop_nulls().unique()
        if ids
        else pl.Series("patient_id", [], dtype=pl.Int64)
    )


def by_patient(results: Results, ids: pl.Series) -> pl.DataFrame:
    """One row per patient, and one for the orphan rows where there are any: whether each F rule
    holds; null where it is not applicable.
    """
    outcomes = {column_of(rule): results[rule.id] for rule in rules_by_patient()}
    failing = {
        name: outcome.finding.failing["patient_id"].unique()
        for name, outcome in outcomes.items()
        if outcome.finding is not None and outcome.finding.failing is not None
    }
    has_orphans = any(breakers.null_count() for breakers in failing.values())
    orphans = pl.Series("patient_id", [None], dtype=ids.dtype)
    everyone = pl.concat([ids, orphans]) if has_orphans else ids
    return pl.DataFrame({"patient_id": everyone}).select(
        "patient_id", *(_holds(failing.get(name)).alias(name) for name in outcomes)
    )


def _holds(breakers: pl.Series | None) -> pl.Expr:
    """Whether a patient is none of the `breakers` of a rule; null where it is not applicable."""
    if breakers is None:
        return pl.lit(None, dtype=pl.Boolean)
    if breakers.dtype == pl.Null:
        return pl.col("patient_id").is_not_null() if len(breakers) else pl.lit(True)
    return ~pl.col("patient_id").is_in(breakers.implode(), nulls_equal=True)


def rates(results: Results) -> pl.DataFrame:
    """One row: the rate of each rule that has a legal one; null where it is not applicable or had
    no rows.
    """
    outcomes = [results[rule.id] for rule in rules_by_rate()]
    return pl.DataFrame(
        {column_of(outcome.rule): [_number(outcome)] for outcome in outcomes},
        schema_overrides={column_of(outcome.rule): pl.Float64 for outcome in outcomes},
    )


def _number(outcome: Outcome) -> float | None:
    return (
        float(outcome.n_failing)
        if outcome.rule.scope == "structure" and outcome.finding is not None
        else outcome.rate
    )


def described(results: Results, *, counts: bool) -> list[dict[str, Any]]:
    """Each rule's answer as plain values, with the number of rows where `counts`."""
    answers = []
    for outcome in results.outcomes:
        rule = outcome.rule
        answer: dict[str, Any] = {
            "rule": rule.id,
            "title": rule.title,
            "severity": rule.severity,
            "status": outcome.status,
        }
        if counts:
            answer |= {"rows": outcome.n_rows, "failing": outcome.n_failing, "rate": outcome.rate}
        answers.append(answer | {"lowest": rule.bounds[0], "highest": rule.bounds[1]})
    return answers


def write_pages(
    folder: Path, checks: TableChecks, schema: Schema, title: str, report: str = ""
) -> None:
    """The data docs below `folder`: counts, no values. Of patients' tables they stay in the
    restricted zone. report: as write_docs takes it.
    """
    rules = described(checks.results, counts=True) if schema.layout == "registry" else []
    write_docs(folder, checks.runs, title, rules, report)
