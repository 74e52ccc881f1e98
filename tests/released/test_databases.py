"""The SQLite file beside the DuckDB file: the same rows and views, and the same bytes each time."""

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl
import pytest
from package_cases import package, registry_tables

from pipeline.catalog import Extract
from pipeline.released import databases
from pipeline.released.views import views
from pipeline.schema.reader import read_schema

ROOT = Path(__file__).parents[2]
SCHEMA = read_schema(ROOT / "datasets" / "simulated_pathways.yaml")


@pytest.fixture(scope="module")
def extract(tmp_path_factory) -> Extract:
    folder = tmp_path_factory.mktemp("extract")
    return package(SCHEMA, registry_tables(folder / "source"), folder / "release").extract


def test_tables_agree_and_a_date_is_its_iso_text(extract: Extract) -> None:
    with closing(sqlite3.connect(extract.sqlite)) as database:
        for table in SCHEMA.tables.values():
            frame = pl.read_parquet(extract.parquet / f"{table.file}.parquet")
            rows = database.execute(f"SELECT * FROM {table.file}").fetchall()
            assert rows == frame.with_columns(pl.col(pl.Date).cast(pl.String)).rows()
            assert rows


@pytest.mark.parametrize("view", sorted(views(SCHEMA)))
def test_a_view_says_the_same_in_both(extract: Extract, view: str) -> None:
    query = f"SELECT * FROM {view}"
    with duckdb.connect(str(extract.database), read_only=True) as database:
        there = {
            tuple(v.isoformat() if hasattr(v, "isoformat") else v for v in row)
            for row in database.execute(query).fetchall()
        }
    with closing(sqlite3.connect(extract.sqlite)) as other:
        assert set(other.execute(query).fetchall()) == there
    assert len(there) >= 100


def test_survival_and_flags_are_those_of_the_tables(extract: Extract) -> None:
    parts = {
        name: pl.read_parquet(extract.parquet / f"{name}.parquet")
        for name in ("sim_av_patient", "sim_av_tumour", "sim_sact_regimen")
    }
    tumours = parts["sim_av_tumour"]
    days = tumours.join(parts["sim_av_patient"], on="PATIENTID").select(
        (pl.col("VITALSTATUSDATE") - pl.col("DIAGNOSISDATEBEST")).dt.total_days()
    )
    given = tumours.join(
        parts["sim_sact_regimen"], left_on="PATIENTID", right_on="ENCORE_PATIENT_ID"
    ).filter(
        (pl.col("START_DATE_OF_REGIMEN") - pl.col("DIAGNOSISDATEBEST"))
        .dt.total_days()
        .is_between(-31, 365)
    )
    with closing(sqlite3.connect(extract.sqlite)) as database:
        [total] = database.execute("SELECT sum(survival_days) FROM v_survival").fetchone()
        [treated] = database.execute("SELECT sum(sact) FROM v_treatment_flags").fetchone()
    assert total == days.sum().item()
    assert treated == given["TUMOURID"].n_unique() > 0


def test_equal_tables_give_equal_bytes_whatever_the_batches(
    extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = extract.sqlite.read_bytes()
    for rows in (7, 1000):
        monkeypatch.setattr(databases, "BATCH_ROWS", rows)
        databases.write_sqlite(SCHEMA, extract, views(SCHEMA))
        assert extract.sqlite.read_bytes() == before
    assert {path.name for path in extract.root.iterdir() if path.is_file()} == {
        "extract.duckdb",
        "extract.sqlite",
    }
