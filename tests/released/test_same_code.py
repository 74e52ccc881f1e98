"""Scripts as public ones are, run on a source and on its extract, unchanged: no label is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from package_cases import SCHEMA, rebuilt_tables, source_tables

from pipeline.adapters import to_log
from pipeline.catalog import Extract
from pipeline.evaluation.same_code import comparison
from pipeline.evaluation.same_code.analysis import Package
from pipeline.released.workbooks import write_lookup_workbook
from pipeline.released.writers import TableWriter

Tables = dict[str, pl.DataFrame]


def package(tables: Tables, folder: Path, postgres: str | None = None) -> Package:
    with TableWriter(SCHEMA, folder) as writer:
        writer.write(tables)
    write_lookup_workbook(SCHEMA, folder / "lookups.xlsx")
    return Package(Extract(folder).csv, folder / "lookups.xlsx", postgres)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return source_tables(tmp_path_factory.mktemp("simulated"), 1500)


@pytest.fixture(scope="module")
def packages(source: Tables, tmp_path_factory: pytest.TempPathFactory) -> tuple[Package, Package]:
    folder = tmp_path_factory.mktemp("packages")
    extract = rebuilt_tables(to_log(SCHEMA, source).log)
    return package(source, folder / "source"), package(extract, folder / "extract")


def test_every_analysis_runs_on_both_and_no_label_is_lost(
    packages: tuple[Package, Package], postgres: str
) -> None:
    source, extract = (Package(one.folder, one.workbook, postgres) for one in packages)
    outcomes = comparison.compare(source, extract)
    assert [row for row, one in zip(comparison.rows(outcomes), outcomes, strict=True)
            if not one.passed] == []  # fmt: skip
    assert comparison.headline(outcomes) == "13 of 13 run"
    assert not any(one.labels_lost for one in comparison.compare(extract, source))


def test_without_a_server_integer_keys_are_tried_in_duckdb(
    packages: tuple[Package, Package],
) -> None:
    (loaded,) = [
        one for one in comparison.compare(*packages) if one.analysis.name.endswith("INTEGER keys")
    ]
    assert loaded.passed


def test_columns_of_text_are_text_to_pandas(packages: tuple[Package, Package]) -> None:
    """Where a reader guesses: object, as in the real release, and 1 stays 1."""
    for one in packages:
        for table, column in (
            ("sim_sact_outcome", "REGIMEN_OUTCOME_SUMMARY"),
            ("sim_sact_cycle", "PERF_STATUS_START_OF_CYCLE"),
            ("sim_av_tumour", "T_BEST"),
            ("sim_av_tumour", "M_BEST"),
            ("sim_av_tumour", "SCREENINGSTATUSFULL_CODE"),
        ):
            cells = one.read(table)[column].dropna()
            assert cells.map(type).eq(str).all(), (column, one.folder)
            assert not cells.str.endswith(".0").any()


def test_keys_fit_the_integer_of_public_loaders(packages: tuple[Package, Package]) -> None:
    for one in packages:
        for table in SCHEMA.tables.values():
            rows = pd.read_csv(one.csv(table.file), low_memory=False)
            for name, column in table.columns.items():
                if column.kind == "id":
                    assert rows[name].between(1, 2**31 - 1).all(), f"{table.name}.{name}"
        patients = one.read("sim_av_patient")
        assert patients["PATIENTID"].astype(str).str.fullmatch(r"\d{8}").all()
        assert patients["LINKNUMBER"].astype(str).str.fullmatch(r"1\d{8}").all()


@pytest.mark.parametrize(
    ("table", "change", "fault"),
    [
        # what this project's extracts were before: numbers where the registry has text
        ("sim_sact_outcome", {"REGIMEN_OUTCOME_SUMMARY": ["1", None]}, "labels"),
        ("sim_rtds_exposure", {"RADIOTHERAPYBEAMTYPE": ["9", "1"]}, "types"),
        ("sim_av_tumour", {"LATERALITY": ["8", "8"]}, "labels"),
        ("sim_av_patient", {"LINKNUMBER": [900_000_000_001, 900_000_000_002]}, "keys"),
        ("sim_rtds_exposure", {"ATTENDID": ["7", "8"]}, "days"),
    ],
    ids=["outcomes", "beams", "laterality", "link numbers", "attendances"],
)
def test_an_extract_with_other_codes_is_seen(
    packages: tuple[Package, Package], tmp_path: Path, table: str, change: dict, fault: str
) -> None:
    source, extract = packages
    folder = tmp_path / "csv"
    shutil.copytree(extract.folder, folder)
    rows = pd.read_csv(folder / f"{table}.csv", dtype=str)
    for column, values in change.items():
        rows[column] = [values[n % 2] for n in range(len(rows))]
    rows.to_csv(folder / f"{table}.csv", index=False)
    outcomes = comparison.compare(source, Package(folder, extract.workbook))
    wrong = [one for one in outcomes if not one.passed]
    assert wrong and comparison.headline(outcomes) != "13 of 13 run"
    if fault == "labels":
        assert {name for one in wrong for name in one.labels_lost} == set(change)
    else:
        assert any(one.extract_fault for one in wrong)
