"""Every table that a benchmark wrote into docs/evidence.md is what it would write today from its
stored results: nobody changed one without the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from bench import (
    accounting_check,
    audit_bounds,
    canaries,
    ledger_refreshes,
    ledger_storm,
    report,
)

WRITERS: dict[tuple[str, str], Callable[[], str]] = {
    ("audit bounds", "audit_bounds.py"): lambda: audit_bounds.table(
        report.read(audit_bounds.RESULTS)
    ),
    ("canaries", "canaries.py"): lambda: canaries.table(report.read(canaries.RESULTS)),
    ("ledger", "ledger_refreshes.py"): ledger_refreshes.text,
    ("ledger storm", "ledger_storm.py"): ledger_storm.table,
    ("accounting", "accounting_check.py"): accounting_check.text,
}


def page() -> str:
    return report.EVIDENCE.read_text(encoding="utf-8")


def test_every_table_of_a_benchmark_has_its_writer_here() -> None:
    marks = re.findall(r"<!-- ([\w ]+): written by bench/([\w.]+) -->", page())
    assert sorted(marks) == sorted(WRITERS)


@pytest.mark.parametrize("place", WRITERS, ids=lambda place: place[0])
def test_a_table_is_what_its_benchmark_writes_from_its_results(place: tuple[str, str]) -> None:
    mark, script = place
    begin, end = f"<!-- {mark}: written by bench/{script} -->\n", f"\n<!-- /{mark} -->"
    shown = page().split(begin)[1].split(end)[0]
    assert shown == WRITERS[place](), f"python -m bench.{script.removesuffix('.py')} writes it anew"


def test_the_canaries_of_the_page_are_those_of_all_runs_that_were_noted() -> None:
    names = ("kind", "dataset", "epsilon", "coins", "path")
    runs: dict[tuple[object, ...], int] = {}
    for row in report.read(canaries.RUNS):
        key = tuple(row[name] for name in names)
        runs[key] = runs.get(key, 0) + row["runs"]
    assert runs == {
        tuple(row[name] for name in names): row["runs"] for row in report.read(canaries.RESULTS)
    }
