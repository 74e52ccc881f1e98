"""Stage validate: every suite and rule on the source tables. The shape of a table may stop the run;
what its rows say is counted for custodians.

Nothing found here leaves the restricted zone, and nothing found in a row stops a run
(privacy_rules.md 2, 3).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pipeline import files
from pipeline.catalog import Restricted, Validation, Workspace
from pipeline.checks.expectations.suites import suites
from pipeline.checks.expectations.table_checks import (
    TableChecks,
    check_tables,
    context_of,
    described,
    write_pages,
)
from pipeline.checks.rules.shapes import shape_problems
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.restricted import account_table
from pipeline.schema.patient_log import PatientLog, concat, read_patient_log
from pipeline.schema.values import Schema

logger = logging.getLogger(__name__)


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Writes `restricted/validation`: results.json and docs/. Raises Refusal where a table is
    absent or its columns are not the declared ones.
    """
    restricted = workspace.restricted
    tables = scan_tables(schema, restricted.tables)
    if problems := structure_problems(schema, tables):
        raise Refusal(
            f"the source tables of {schema.dataset} are not those declared: {'; '.join(problems)}. "
            "Correct the source or the declaration."
        )
    logger.info("validate: running %d suites on the tables that ingest wrote", len(suites(schema)))
    with files.replacing_folder(restricted.validation.root) as folder:
        out = Validation(folder)
        try:
            context = context_of(schema, params.release.extract_date, is_synthetic=False)
            checks = check_tables(schema, tables, context, whole_log(schema, restricted))
            write_pages(out.docs, checks, schema, f"{schema.title}: the source tables")
            results = summary(checks, most=params.validate.rows_in_report)
            files.write_json(out.results, with_account(results, restricted))
        # whatever rows make of the checks, it is for custodians and stops nothing
        except (Exception, pl.exceptions.PanicException) as error:
            files.write_json(out.results, {"passed": False, "failed_run": type(error).__name__})
    logger.info("validate: the results are written")


def with_account(results: dict[str, Any], restricted: Restricted) -> dict[str, Any]:
    """The results under what ingest kept: nothing has passed where nobody is left."""
    account = account_table.read(restricted)
    has_patients = account["patients"]["kept"] > 0
    kept_lines = account_table.lines(account)
    return {**results, "passed": results["passed"] and has_patients, "ingest": kept_lines}


def scan_tables(schema: Schema, folder: Path) -> dict[str, pl.LazyFrame]:
    """The tables that ingest wrote, by declared name; none is read yet."""
    return {
        name: pl.scan_parquet(folder / f"{name}.parquet")
        for name in schema.tables
        if (folder / f"{name}.parquet").exists()
    }


def structure_problems(schema: Schema, tables: Mapping[str, pl.LazyFrame]) -> list[str]:
    """Absent tables, and columns that are absent, foreign, out of order or of another type. Names
    only, no value of a row.
    """
    absent = [
        f"table {table.name} is missing"
        for table in schema.tables.values()
        if table.required and table.name not in tables
    ]
    return absent + [
        f"{name}: {problem}"
        for name, rows in tables.items()
        for problem in shape_problems(schema.tables[name], rows)
    ]


def whole_log(schema: Schema, restricted: Restricted) -> PatientLog | None:
    """Training and holdout patients together: the log that stands beside the tables."""
    if schema.events is None or not restricted.events.exists():
        return None
    holdout = [restricted.holdout_patients, restricted.holdout_events]
    parts = [read_patient_log(restricted.patients, restricted.events)]
    if all(path.exists() for path in holdout):
        parts.append(read_patient_log(*holdout))
    return concat(parts)


def summary(checks: TableChecks, *, most: int) -> dict[str, Any]:
    """results.json: per suite what failed with its counts, per rule its counts, and the `most`
    failing rules first.
    """
    rules = described(checks.results, counts=True)
    broken = sorted(
        (rule for rule in rules if rule["status"] in ("fail", "warn", "could not run")),
        key=lambda rule: -int(rule["failing"]),
    )
    return {
        "passed": (
            not any(run.failures for run in checks.runs)
            and not checks.results.with_status("could not run")
        ),
        "suites": [
            {
                "suite": run.name,
                "expectations": len(run.results),
                "failed": [
                    {"expectation": one.name, "severity": one.severity, **one.counts}
                    for one in run.failures
                ],
            }
            for run in checks.runs
        ],
        "most_broken": broken[:most],
        "rules": rules,
    }
