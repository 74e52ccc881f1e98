"""A missing value leaves as the mark by which the source says that it is missing, in every form of
an extract that can say it, and is missing again when the extract is read.
"""

import csv
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
from package_cases import plain_tables

from pipeline.adapters.extract import scan_extract
from pipeline.catalog import Extract
from pipeline.checks.synthetic_gate import check_synthetic
from pipeline.released.databases import write_database, write_sqlite
from pipeline.released.dictionary import write_dictionary
from pipeline.released.writers import TableWriter
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

DECLARATION = """
dataset: people
title: Made-up people
source: nobody
public: true
layout: table
population: {name: people, universe: made up, kind: public, nominal_size: 1000, epsilon: 1.0,
  delta: 1.0e-6, ceiling_epsilon: 2.0}
tables:
  people:
    file: people
    TABLE
    columns:
      job: {kind: categorical, categories: [nurse, "a, b"], nullable: true, missing: ["?"],
        header: Job title}
      grade: {kind: ordinal, categories: ["1", "2"], nullable: true, missing: ["9", n/k]}
      note: {kind: text, role: rebuilt, nullable: true, missing: ["", "NA"], rule: none}
      place: {kind: text, role: carried, nullable: true, missing: ["-"]}
      pay: {kind: continuous, lower: 0, upper: 1000000, decimals: 2, nullable: true,
        missing: ["-99"]}
      children: {kind: continuous, lower: 0, upper: 20, nullable: true, missing: [none]}
      seen: {kind: date, lower: 2000-01-01, upper: 2020-12-31, nullable: true, missing: [never]}
      plain: {kind: categorical, categories: [x, y], nullable: true}
patients: {columns: {job: {like: people.job}, grade: {like: people.grade}, pay: {like: people.pay},
  children: {like: people.children}, seen: {like: people.seen}, plain: {like: people.plain}}}
targets: []
quasi_identifiers: []
strata: []
"""
ROWS = pl.DataFrame(
    {
        "job": ["nurse", None, "a, b", None],
        "grade": [None, "1", "2", None],
        "note": ["x", None, None, "y"],
        "place": pl.Series([None] * 4, dtype=pl.String),
        "pay": [0.1, None, 123456.78, 1e6],
        "children": [None, 2, 0, 3],
        "seen": [date(2001, 2, 3), None, date(2020, 12, 31), None],
        "plain": ["x", None, "y", None],
    }
)
TEXTS = {  # as every form of the extract has it
    "Job title": ["nurse", "?", "a, b", "?"],
    "grade": ["9", "1", "2", "9"],
    "note": ["x", None, None, "y"],
    "place": [None] * 4,
    "plain": ["x", None, "y", None],
}


def declared(folder: Path, table: str = "") -> Schema:
    path = folder / "people.yaml"
    path.write_text(DECLARATION.replace("    TABLE\n", f"    {table}\n" if table else ""))
    return read_schema(path)


@pytest.fixture
def extract(tmp_path: Path) -> Extract:
    schema = declared(tmp_path)
    with TableWriter(schema, tmp_path / "extract") as writer:
        writer.write({"people": ROWS.head(1)})  # types come from the first part
        writer.write({"people": ROWS.tail(3)})
    written = Extract(tmp_path / "extract")
    write_database(schema, written, {})
    write_sqlite(schema, written, {})
    return written


def test_the_csv_has_the_sources_own_marks(extract: Extract) -> None:
    with (extract.csv / "people.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    cells = {name: [row[name] for row in rows] for name in rows[0]}
    assert cells == {name: [value or "" for value in values] for name, values in TEXTS.items()} | {
        "pay": ["0.1", "-99", "123456.78", "1000000.0"],
        "children": ["none", "2", "0", "3"],
        "seen": ["2001-02-03", "never", "2020-12-31", "never"],
    }


def test_code_that_looks_for_the_mark_finds_it(extract: Extract) -> None:
    people = pd.read_csv(extract.csv / "people.csv")
    assert len(people[people["Job title"] != "?"]) == 2
    again = pd.read_csv(extract.csv / "people.csv", na_values=["?", "-99", "never", "none"])
    assert again["Job title"].isna().tolist() == [False, True, False, True]
    assert again["pay"].dropna().tolist() == [0.1, 123456.78, 1e6]


def test_forms_with_types_agree_and_keep_their_types(extract: Extract) -> None:
    frame = pl.read_parquet(extract.parquet / "people.parquet")
    for name, values in TEXTS.items():
        assert frame.schema[name] == pl.String and frame[name].to_list() == values
    for name in ("pay", "children", "seen"):
        assert frame[name].to_list() == ROWS[name].to_list()
    with duckdb.connect(str(extract.database), read_only=True) as database:
        assert database.execute("SELECT * FROM people").fetchall() == frame.rows()
    iso = frame.with_columns(pl.col("seen").cast(pl.String))
    with closing(sqlite3.connect(extract.sqlite)) as database:
        assert database.execute("SELECT * FROM people").fetchall() == iso.rows()
        types = dict(database.execute("SELECT name, type FROM pragma_table_info('people')"))
    assert types == dict.fromkeys((*TEXTS, "seen"), "TEXT") | {
        "pay": "REAL",
        "children": "INTEGER",
    }


def test_whoever_reads_an_extract_finds_missing_values(extract: Extract, tmp_path: Path) -> None:
    assert scan_extract(declared(tmp_path), extract.parquet)["people"].collect().equals(ROWS)


def test_the_dictionary_says_the_mark(tmp_path: Path) -> None:
    write_dictionary(declared(tmp_path), tmp_path / "dictionary.csv")
    with (tmp_path / "dictionary.csv").open(newline="") as file:
        marks = {row["column"]: row["missing_mark"] for row in csv.DictReader(file)}
    assert marks == {
        "Job title": "?",
        "grade": "9",
        "note": "",
        "place": "",
        "pay": "-99",
        "children": "none",
        "seen": "never",
        "plain": "",
    }


def test_a_tables_marks_are_those_of_its_columns(tmp_path: Path) -> None:
    table = declared(tmp_path, 'missing: ["", "*"]').tables["people"]
    assert table.columns["plain"].missing == ("", "*")
    assert table.columns["job"].missing == ("?",)


def test_the_gate_reads_marks_as_missing(tmp_path: Path) -> None:
    schema = read_schema(Path(__file__).parents[2] / "datasets" / "adult.yaml")
    tables = plain_tables(schema)
    with TableWriter(schema, tmp_path) as writer:
        writer.write(tables)
    path = Extract(tmp_path).parquet / "adult_48842_raw.parquet"
    assert pl.read_parquet(path)["workclass"].to_list() == ["Never-worked"] * 3 + ["?"]
    gate = check_synthetic(schema, path.parent)
    assert gate.failures == check_synthetic(schema, tables).failures
    assert not [failure for failure in gate.failures if "workclass" in failure]
