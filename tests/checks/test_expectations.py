"""One source: declaration = expectations = metadata; and what Great Expectations says, without a
value of any row.
"""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from pipeline.checks.expectations import suite_files
from pipeline.checks.expectations.suite_runs import run_suite
from pipeline.checks.expectations.suites import (
    BY_PATIENT,
    EVENTS,
    PATIENTS,
    RATES,
    Suite,
    columns_suite,
    event_columns,
    patient_columns,
    sdmetrics_metadata,
    suites,
)
from pipeline.schema.reader import read_schema
from pipeline.schema.sdmetrics_words import sdtype
from pipeline.schema.values import Column

ROOT = Path(__file__).resolve().parents[2]
DATASETS = sorted((ROOT / "datasets").glob("*.yaml"))


def test_the_committed_suites_are_what_the_declarations_say() -> None:
    stale = suite_files.stale(ROOT / "datasets", ROOT / "expectations")
    assert stale == [], "run `python -m pipeline expectations` and commit"


def test_a_changed_declaration_makes_its_suites_stale(tmp_path: Path) -> None:
    datasets, folder = tmp_path / "datasets", tmp_path / "expectations"
    datasets.mkdir()
    shutil.copy(ROOT / "datasets" / "adult.yaml", datasets)
    assert suite_files.write(datasets, folder) == 1
    assert suite_files.stale(datasets, folder) == []
    declared = (datasets / "adult.yaml").read_text(encoding="utf-8")
    assert "upper: 90" in declared
    (datasets / "adult.yaml").write_text(
        declared.replace("upper: 90", "upper: 91", 1), encoding="utf-8"
    )
    assert len(suite_files.stale(datasets, folder)) == 1
    suite_files.write(datasets, folder)
    (folder / "adult" / "left_over.json").write_text("{}", encoding="utf-8")
    assert suite_files.stale(datasets, folder) == ["adult/left_over.json"]
    suite_files.write(datasets, folder)
    assert suite_files.stale(datasets, folder) == []


def test_what_a_dataset_shares_with_its_base_is_written_once(tmp_path: Path) -> None:
    written = suite_files.write(ROOT / "datasets", tmp_path)
    same = json.loads((tmp_path / "simulated_pathways" / "_base.json").read_text())
    schema = read_schema(ROOT / "datasets" / "simulated_pathways.yaml")
    assert same == {"base": "cancer_pathways", "suites": list(suites(schema))}
    assert [path.name for path in (tmp_path / "simulated_pathways").iterdir()] == ["_base.json"]
    texts = [path.read_text() for path in tmp_path.glob("*/*.json")]
    assert len(texts) == len(set(texts)) == written


@pytest.mark.parametrize("path", DATASETS, ids=lambda path: path.stem)
def test_suites_and_metadata_have_the_declared_columns_and_values(path: Path) -> None:
    schema = read_schema(path)
    made = suites(schema)
    columns = {name: table.columns for name, table in schema.tables.items()}
    if schema.events is not None:
        columns |= {PATIENTS: patient_columns(schema), EVENTS: event_columns(schema)}
    assert set(columns) == set(made) - {BY_PATIENT, RATES}
    for name, declared in columns.items():
        ordered = _kwargs(made[name], "expect_table_columns_to_match_ordered_list")
        metadata = sdmetrics_metadata(schema, name)
        assert ordered[0]["column_list"] == list(declared) == list(metadata["columns"])
        sets = {
            one["column"]: one["value_set"]
            for one in _kwargs(made[name], "expect_column_values_to_be_in_set")
        }
        assert sets == {c.name: list(c.categories) for c in declared.values() if c.is_categorical}
        filled = {
            one["column"] for one in _kwargs(made[name], "expect_column_values_to_not_be_null")
        }
        assert filled == {
            c.name for c in declared.values() if not c.nullable and c.role != "carried"
        }
        assert [entry["sdtype"] for entry in metadata["columns"].values()] == [
            sdtype(c) for c in declared.values()
        ]


def _kwargs(suite: Suite, kind: str) -> list[dict]:
    return [one["kwargs"] for one in suite["expectations"] if one["type"] == kind]


def test_all_58_rules_are_in_the_suites_of_a_registry() -> None:
    made = suites(read_schema(ROOT / "datasets" / "cancer_pathways.yaml"))
    rules = [
        one["meta"]["rule"] for name in (BY_PATIENT, RATES) for one in made[name]["expectations"]
    ]
    assert len(rules) == len(set(rules))
    assert {int(rule[:2]) for rule in rules} == set(range(1, 59))


WEIRD = "ZZ-planted-4711"
COLUMNS = {
    column.name: column
    for column in [
        Column(name="id", kind="id", role="key"),
        Column(name="sex", kind="categorical", categories=("F", "M")),
        Column(name="age", kind="continuous", lower=0, upper=105, nullable=True),
        Column(name="weight", kind="continuous", lower=2, upper=250, decimals=1),
        Column(name="seen", kind="date", lower=16801, upper=18261, nullable=True),
        Column(name="cause", kind="text", nullable=True, source="ICD-10"),
    ]
}
ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "sex": ["F", "M", "M"],
        "age": [70, None, 105],
        "weight": [60.5, 2.0, 250.0],
        "seen": [date(2016, 1, 1), None, date(2019, 12, 31)],
        "cause": ["C509", None, "C50,I219"],
    }
)


def test_rows_within_the_declaration_pass() -> None:
    run = run_suite(columns_suite("table", COLUMNS, key=("id",)), ROWS)
    assert [one.name for one in run.failures] == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sex": ["F", WEIRD, "M"]}, "table.sex: column values to be in set"),
        ({"sex": ["F", None, "M"]}, "table.sex: column values to not be null"),
        ({"age": [70, 4711, 3]}, "table.age: column values to be between"),
        ({"weight": [1.9, 2.0, 3.0]}, "table.weight: column values to be between"),
        ({"seen": [date(2015, 12, 31), None, None]}, "table.seen: column values to be between"),
        ({"cause": [WEIRD, None, None]}, "table.cause: column values to match regex"),
        ({"id": [1, 2, 2]}, "table.id: column values to be unique"),
        ({"age": ["x", WEIRD, "3"]}, "table.age: column values to be in type list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_outside_the_declaration_fails_without_being_shown(
    change: dict, expected: str
) -> None:
    rows = ROWS.with_columns(
        pl.Series(name, values, strict=False) for name, values in change.items()
    )
    run = run_suite(columns_suite("table", COLUMNS, key=("id",)), rows)
    assert expected in [one.name for one in run.failures]
    shown = run.page + repr(run.results)
    assert "4711" not in shown
    assert "Traceback" not in shown


def test_columns_in_another_order_or_undeclared_fail() -> None:
    suite = columns_suite("table", COLUMNS, key=("id", "sex"))
    assert [one.kind for one in run_suite(suite, ROWS.select(sorted(ROWS.columns))).failures] == [
        "expect_table_columns_to_match_ordered_list"
    ]
    run = run_suite(suite, ROWS.with_columns(pl.lit(1).alias(WEIRD)))
    assert [one.kind for one in run.failures] == ["expect_table_columns_to_match_ordered_list"]
    assert WEIRD not in run.page


def test_pages_open_offline_and_call_nobody() -> None:
    page = run_suite(columns_suite("table", COLUMNS), ROWS).page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert "sex" in page
