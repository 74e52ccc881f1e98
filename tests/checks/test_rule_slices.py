"""Patients asked about some at a time give the answers of all at once; so do columns of a table."""

from __future__ import annotations

import re
from datetime import date
from functools import partial

import polars as pl
import pytest
from registry_cases import ANN, BEA, EXTRACT, Tables, change, clean, schema, twice, without

from pipeline import adapters
from pipeline.checks import rules
from pipeline.checks.expectations import suite_runs
from pipeline.checks.expectations.suite_runs import run_suite
from pipeline.checks.expectations.suites import columns_suite
from pipeline.checks.rules import RuleContext, slices
from pipeline.schema.patient_log import ID
from pipeline.schema.row_slices import in_slices
from pipeline.schema.values import Column

P, T, R, C = "sim_av_patient", "sim_av_tumour", "sim_sact_regimen", "sim_sact_cycle"
ANY = pl.lit(True)


def of_two(tables: Tables) -> Tables:
    """Bea's regimen and its cycles are Ann's as well."""
    rows = tables[R]
    copy = rows.with_columns(
        pl.lit(ANN, rows.schema["ENCORE_PATIENT_ID"]).alias("ENCORE_PATIENT_ID")
    )
    return {**tables, R: pl.concat([rows, copy])}


CASES = {
    "clean": clean(),
    "a key twice": twice(clean(), P, pl.col("PATIENTID") == ANN),
    "a key of two patients": change(clean(), T, pl.col("TUMOURID") == 4, TUMOURID=1),
    "a link number of two patients": change(clean(), P, ANY, LINKNUMBER=1),
    "a parent of two patients": of_two(clean()),
    "rows of nobody": without(clean(), P, pl.col("PATIENTID") == BEA),
    "a row without a patient": change(clean(), T, pl.col("TUMOURID") == 2, PATIENTID=None),
    "cycles without a regimen": change(clean(), C, ANY, MERGED_REGIMEN_ID=99),
    "a rate": change(clean(), T, pl.col("TUMOURID") == 1, DATE_FIRST_SURGERY=date(2017, 2, 20)),
    "ages": change(clean(), T, ANY, AGE=12),
    "not by patient": {name: rows.reverse() for name, rows in clean().items()},
}


@pytest.mark.parametrize("tables", CASES.values(), ids=CASES)
def test_a_slice_for_each_patient_gives_the_same_answers(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = adapters.to_log(schema(), clean()).log
    context = RuleContext(extract_date=EXTRACT, is_synthetic=False)
    whole = rules.check(schema(), tables, context, log)
    monkeypatch.setattr(rules, "Slices", partial(slices.Slices, size=1))
    apart = rules.check(schema(), tables, context, log)
    for one, other in zip(whole.outcomes, apart.outcomes, strict=True):
        assert (one.status, one.n_rows, one.n_failing) == (
            other.status,
            other.n_rows,
            other.n_failing,
        ), one.rule.id
        assert one.rate == pytest.approx(other.rate), one.rule.id


def test_each_row_lies_in_the_slice_of_its_patient() -> None:
    parts = list(slices.Slices(schema(), {n: rows.lazy() for n, rows in clean().items()}, size=1))
    assert len(parts) == clean()[P].height
    for tables, _ in parts:
        assert tables[P].height == 1
        patient = tables[P]["PATIENTID"].item()
        assert set(tables[T]["PATIENTID"]) == {patient}
        assert set(tables[C]["MERGED_REGIMEN_ID"]) <= set(tables[R]["MERGED_REGIMEN_ID"])
    for name, rows in clean().items():
        assert (
            pl.concat([tables[name] for tables, _ in parts])
            .sort(rows.columns)
            .equals(rows.sort(rows.columns))
        )


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_patients_come_in_slices_with_their_events(size: int) -> None:
    patients = pl.DataFrame({ID: [5, 3, 9, 1, 7]})
    events = pl.DataFrame({ID: [3, 5, 3, 8, 1, 5, 9], "seq": range(7)})
    parts = list(in_slices(patients, events.lazy(), size))
    assert pl.concat([some for some, _ in parts]).equals(patients)
    for some, theirs in parts:
        assert theirs.equals(events.filter(pl.col(ID).is_in(some[ID].implode())))


COLUMNS = {
    column.name: column
    for column in (
        Column(name="id", kind="id", role="key"),
        Column(name="sex", kind="categorical", categories=("F", "M")),
        Column(name="age", kind="continuous", lower=0, upper=105, nullable=True),
        Column(name="seen", kind="date", lower=16801, upper=18261, nullable=True),
    )
}
ROWS = pl.DataFrame(
    {
        "id": range(40),
        "sex": ["F", "M"] * 20,
        "age": [70, None, 105, 0] * 10,
        "seen": [date(2016, 1, 1), None] * 20,
    }
)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"sex": ["F", None, "X", "M"] * 10},
        {"age": [None] * 40, "id": [1, *range(1, 40)]},
        {"age": ["70", "x"] * 20, "seen": [date(1900, 1, 1)] * 40},
        {"other": [1] * 40},
    ],
    ids=["clean", "values", "key", "types", "columns"],
)
def test_a_large_table_is_asked_column_by_column_to_the_same_end(
    change: dict[str, list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ROWS.with_columns(pl.Series(name, values) for name, values in change.items())
    suite = columns_suite("table", COLUMNS, key=("id",))
    whole = run_suite(suite, rows)
    monkeypatch.setattr(suite_runs, "ROWS_AT_ONCE", 10)
    apart = run_suite(suite, rows.lazy())
    assert apart.results == whole.results
    assert _without_run(apart.page) == _without_run(whole.page)


def _without_run(page: str) -> str:
    """Without the moment and the number of the run."""
    return re.sub(r">(\d{8}T[\d.]+Z|[0-9a-f]{32})<", "><", page)
