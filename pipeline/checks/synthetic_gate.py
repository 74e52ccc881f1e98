"""The gate on synthetic tables: F stops the release, W warns. It reads synthetic rows only, so its
answer may decide (privacy_rules.md 4).

Used by the stage evaluate and by draws. All rows are checked, none is sampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from pipeline import files, plan_slices
from pipeline.adapters.extract import scan_extract
from pipeline.catalog import Gate, Patients
from pipeline.checks.expectations.table_checks import (
    TableChecks,
    Tables,
    check_tables,
    context_of,
    described,
    write_pages,
)
from pipeline.checks.rules.shapes import shape_problems
from pipeline.checks.rules.slices import SLICE_PATIENTS
from pipeline.draw_plan import DrawPlan
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.params import GateParams
from pipeline.schema import static_rules
from pipeline.schema.patient_log import PatientLog, read_patient_log
from pipeline.schema.row_slices import in_slices
from pipeline.schema.values import Schema

NoisyShares = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class GateResult:
    """`failures` stop a release, `warnings` do not. Both name a rule or an expectation, with its
    share of synthetic rows.
    """

    failures: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def refusal(self) -> str:
        """The reason not to release, with the first failures."""
        return (
            f"the synthetic tables break {len(self.failures)} rule(s):"
            f" {'; '.join(self.failures[:5])}"
        )


def check_synthetic(
    schema: Schema,
    tables: Mapping[str, pl.DataFrame] | Path,
    synthetic: PatientLog | Path | None = None,
    *,
    extract_date: date | None = None,
    out: Path | None = None,
    noisy_counts: NoisyShares | None = None,
    gate: GateParams | None = None,
    plan: DrawPlan | None = None,
    report: str = "",
) -> GateResult:
    """Checks an extract. `tables`: frames under declared names, or the folder of `<file>.parquet`
    that researchers get.

    `synthetic`: the same patients in the models' form, or the folder of `patients.parquet` and
    `events.parquet`. `gate`: thresholds other than the rules' own. `plan`: what was asked of the
    draw, which the patients must keep. `out`: a folder for gate.json and docs/, whose page links to
    `report`. Raises Refusal where `tables` is a folder without any declared table.
    """
    frames: Tables = scan_extract(schema, tables) if isinstance(tables, Path) else tables
    log = _read(synthetic) if isinstance(synthetic, Path) else synthetic
    failures = _misshapen(schema, frames)
    if failures:  # rules and suites speak about declared columns only
        return _answer(schema, GateResult(tuple(failures), ()), None, out, report)
    context = context_of(
        schema,
        extract_date,
        is_synthetic=True,
        noisy_counts=noisy_counts,
        gate=gate or GateParams(),
    )
    checks = check_tables(schema, frames, context, log, with_pages=out is not None)
    failures += [
        _share(one.name, one.counts)
        for run in checks.runs
        for one in run.failures
        if one.severity == "F"
    ]
    if log is not None:
        failures += plan_slices.breaches(schema, plan or DrawPlan(), log.patients)
        failures += static_breaches(schema, log.patients)
        failures += grammar_breaches(schema, log) if log.events is not None else []
    warnings = tuple(
        _share(one.name, one.counts)
        for run in checks.runs
        for one in run.failures
        if one.severity == "W"
    )
    return _answer(schema, GateResult(tuple(failures), warnings), checks, out, report)


def _misshapen(schema: Schema, frames: Tables) -> list[str]:
    """Tables that are not there, and columns, order or types that are not the declared ones."""
    missing = [
        f"table {table.name} is missing"
        for table in schema.tables.values()
        if table.required and table.name not in frames
    ]
    return missing + [
        f"{name}: {problem}"
        for name, rows in frames.items()
        for problem in shape_problems(schema.tables[name], rows)
    ]


def _share(name: str, counts: Mapping[str, float]) -> str:
    share = counts.get("unexpected_percent")
    return name if share is None else f"{name} ({share:.3g}% of rows)"


def _answer(
    schema: Schema, result: GateResult, checks: TableChecks | None, out: Path | None, report: str
) -> GateResult:
    if out is not None:
        rules = described(checks.results, counts=True) if checks else []
        files.write_json(
            Gate(out).results,
            {
                "passed": result.passed,
                "failures": result.failures,
                "warnings": result.warnings,
                "rules": rules,
            },
        )
        if checks is not None:
            title = f"{schema.title}: the synthetic tables"
            write_pages(Gate(out).docs, checks, schema, title, report)
    return result


def _read(folder: Path) -> PatientLog | None:
    paths = Patients(folder)
    return read_patient_log(paths.patients, paths.events) if paths.patients.is_file() else None


def static_breaches(schema: Schema, patients: pl.DataFrame) -> list[str]:
    """The declared rules between static columns that some synthetic patient breaks."""
    return [
        rule
        for rule, is_broken in static_rules.breaches(schema)
        if patients.select(is_broken.any()).item()
    ]


def grammar_breaches(schema: Schema, log: PatientLog) -> list[str]:
    """The legality rules of the event log that some synthetic pathway breaks."""
    grammar, broken = Grammar(schema), set[str]()
    for patients, pathways in in_slices(log.patients, log.pathways, SLICE_PATIENTS):
        broken.update(violations(grammar, patients, pathways)["rule"])
    return [f"event log: {rule}" for rule in sorted(broken)]
