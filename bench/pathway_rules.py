"""The 58 rules of a registry (pipeline/checks/rules) on synthetic tables: which were asked, which
hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from bench.pathway_data import EXTRACT
from pipeline.checks.expectations.table_checks import context_of, described
from pipeline.checks.rules import check
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

OUTCOMES = ("pass", "fail", "warn")


def judge(
    schema: Schema, tables: Mapping[str, pl.DataFrame], log: PatientLog
) -> list[dict[str, Any]]:
    """Each rule's severity, status, rows and failing rows, rate and legal rates."""
    results = check(
        schema,
        tables,
        context_of(schema, EXTRACT, is_synthetic=True),
        log,
    )
    return described(results, counts=True)


def summary(rules: list[dict[str, Any]]) -> str:
    """A line per severity, and one per rule that is broken somewhere."""
    lines = [
        "| severity | rules asked | hold in every row | within their rates | broken |",
        "|---|---|---|---|---|",
    ]
    for severity in ("F", "W"):
        group = [
            rule for rule in rules if rule["severity"] == severity and rule["status"] in OUTCOMES
        ]
        passes = [rule for rule in group if rule["status"] == "pass"]
        clean = [rule for rule in passes if not rule["failing"]]
        broken = (
            ", ".join(
                f"{rule['rule']} {rule['title']}" for rule in group if rule["status"] != "pass"
            )
            or "none"
        )
        lines.append(
            f"| {severity} | {len(group)} | {len(clean)} | {len(passes) - len(clean)} | {broken} |"
        )
    left = ", ".join(
        f"{rule['rule']} {rule['title']}" for rule in rules if rule["status"] not in OUTCOMES
    )
    return "\n".join(lines) + f"\n\nNot asked of synthetic tables: {left or 'none'}."
