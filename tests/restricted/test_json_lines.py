"""JSON lines: each line is judged for itself, and a value is what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ingest_cases import Bench
from test_source_forms import checked

from pipeline.refusal import Refusal
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

DECLARATION = """
dataset: visits
title: Visits
source: tests
public: true
layout: table
population: {{name: visits, universe: nobody, kind: public, nominal_size: 1000, epsilon: 5.0,
  delta: 1.0e-6, ceiling_epsilon: 5.0}}
tables:
  visits:
    file: visits
    patient: id
    key: [id]
    {formats}
    columns:
      id: {{kind: id, role: key}}
      code: {{kind: categorical, categories: ["007", "1.10", "7"], nullable: true, source: tests}}
      city: {{kind: categorical, categories: [north, south], header: address.city, nullable: true,
        aliases: [town], source: tests}}
      floor: {{kind: continuous, lower: -5, upper: 50, header: address.house.floor, nullable: true,
        source: tests}}
      dose: {{kind: continuous, lower: -10, upper: 10, decimals: 2, nullable: true, source: tests}}
      note: {{kind: text, role: carried, nullable: true}}
"""
GOOD = {"id": "1", "address": {"city": "north", "house": {"floor": 2}}}


def schema(folder: Path, formats: str = "required: true") -> Schema:
    path = folder / "visits.yaml"
    path.write_text(DECLARATION.format(formats=formats))
    return read_schema(path)


def write(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "visits.jsonl"
    path.write_bytes(
        b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    )
    return path


def test_values_keep_their_text(bench: Bench, tmp_path: Path) -> None:
    lines = [
        '{"id": 7, "code": 1.10, "dose": 1.10, "note": 12345678901234567890123}',
        '{"id": "007", "code": "007", "dose": -1e-2, "note": "1.10"}',
        '{"id": 1.0, "code": 7, "dose": null, "note": true}',
        '{"id": "a", "code": "", "dose": NaN, "note": "\\u20ac \\ud83d\\ude00"}',
    ]
    done = bench.ingest(schema(tmp_path), write(tmp_path, *lines))
    rows = done.table("visits").sort("id")
    assert rows["id"].to_list() == ["007", "1", "7", "a"]
    assert rows["code"].to_list() == ["007", "7", "1.10", None]
    assert rows["dose"].to_list() == [-0.01, None, 1.1, None]
    assert rows["note"].to_list() == ["1.10", "true", "12345678901234567890123", "€ 😀"]


def test_a_nested_object_is_a_group_of_columns(bench: Bench, tmp_path: Path) -> None:
    lines = [
        json.dumps(GOOD),
        '{"id": "2", "address.city": "south", "ADDRESS": {"house": null}}',
        '{"id": "3", "address": null}',
        '{"id": "4", "address": {}}',
        '{"id": "5", "town": "north", "address": {"house": {"floor": -1}}}',
    ]
    done = bench.ingest(schema(tmp_path), write(tmp_path, *lines))
    rows = done.table("visits").sort("id")
    assert rows["city"].to_list() == ["north", "south", None, None, "north"]
    assert rows["floor"].to_list() == [2, None, None, None, -1]
    repaired = done.report["tables"]["visits"]["repaired"]
    assert repaired["city"] == {"key is absent": 2} and repaired["floor"] == {"key is absent": 3}


@pytest.mark.parametrize(
    ("line", "reason", "is_known"),
    [
        ('{"id": "2", "id": "3"}', "row has a key twice", False),
        ('{"id": "2", "code": "7", "code": "007"}', "row has a key twice", True),
        ('{"id": "2", "CODE": "7", "code": "007"}', "row has a key twice", True),
        ('{"id": "2", "town": "north", "address": {"city": "south"}}', "row has a key twice", True),
        ('{"id": "2", "zip": "x"}', "row has a key that is not declared", True),
        ('{"id": "2", "address": {"zip": 1}}', "row has a key that is not declared", True),
        ('{"id": "2", "address": "north"}', "row has a key that is not declared", True),
        ('{"id": "2", "code": "7"', "row is no JSON object", False),
        ('{"id": "2"} {"id": "3"}', "row is no JSON object", False),
        ('["2", "7"]', "row is no JSON object", False),
        ("2", "row is no JSON object", False),
        ("[" * 100_000, "row is no JSON object", False),
        ('{"id": "2", "x": ' + '{"x":' * 300 + "1" + "}" * 301, "not declared", True),
        (b'{"id": "2", "note": "\xe9"}', "bytes that are no text", True),
        (b"\xff\xfe", "bytes that are no text", False),
        ('{"id": "2", "note": "' + "x" * 2_000_000 + '"}', "row too long", False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_line_at_fault_costs_its_own_patient(
    bench: Bench, tmp_path: Path, line: str | bytes, reason: str, is_known: bool
) -> None:
    others = [json.dumps(GOOD), json.dumps({**GOOD, "id": "9"})]
    done = bench.ingest(schema(tmp_path), write(tmp_path, others[0], line, others[1]))
    assert done.patients["patient_id"].to_list() == ["1", "9"]
    [fault] = done.report["tables"]["visits"]["faults"]["(row)"]
    assert reason in fault
    assert bool(done.report["dropped_patients_by_reason"]) == is_known


@pytest.mark.parametrize(
    ("value", "column"),
    [
        ("[1]", "code"), ("{}", "code"), ("[1]", "dose"), ('{"a": 1}', "note"),
        ("Infinity", "dose"),
        ('"a\\u0000b"', "note"), ('"\\ud800"', "note"), ('"\\ud800"', "code"),
    ],
)  # fmt: skip
def test_a_value_that_no_cell_holds_costs_its_own_patient(
    bench: Bench, tmp_path: Path, value: str, column: str
) -> None:
    bad = f'{{"id": "2", "{column}": {value}}}'
    done = bench.ingest(schema(tmp_path), write(tmp_path, json.dumps(GOOD), bad))
    assert done.patients["patient_id"].to_list() == ["1"]
    assert done.report["dropped_patients_by_reason"] == {f"visits.{column}: does not parse": 1}


def test_what_is_ignored_is_not_read(bench: Bench, tmp_path: Path) -> None:
    lines = ['{"id": "1", "zip": [1], "meta": {"a": {"b": 1}}}', '{"id": "2", "Zip": 1, "zip": 2}']
    declared = schema(tmp_path, "ignore: [zip, meta.a]")
    assert bench.ingest(declared, write(tmp_path, *lines)).patients.height == 2


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_a_table_without_rows(
    bench: Bench, tmp_path: Path, content: bytes
) -> None:
    """None and one patient are neighbours: a file of no line does not stop the run."""
    (tmp_path / "visits.jsonl").write_bytes(content)
    done = bench.ingest(schema(tmp_path), tmp_path / "visits.jsonl")
    assert done.patients.height == 0


def test_a_mark_and_carriage_returns_are_none_of_the_text(bench: Bench, tmp_path: Path) -> None:
    content = "\ufeff" + "\r\n".join([json.dumps(GOOD), '{"id": "2"}', ""])
    (tmp_path / "visits.jsonl").write_bytes(content.encode())
    assert bench.ingest(schema(tmp_path), tmp_path / "visits.jsonl").patients.height == 2
    (tmp_path / "visits.jsonl").write_bytes(content.encode("utf-16-le"))
    declared = schema(tmp_path, "encoding: utf-16")
    assert bench.ingest(declared, tmp_path / "visits.jsonl").patients.height == 2


def test_a_decimal_comma_is_of_texts(bench: Bench, tmp_path: Path) -> None:
    lines = ['{"id": "1", "dose": 1.5}', '{"id": "2", "dose": "1,5"}', '{"id": "3", "code": 1.10}']
    declared = schema(tmp_path, 'decimal: ","\n    separator: ";"')
    rows = bench.ingest(declared, write(tmp_path, *lines)).table("visits")
    assert rows.sort("id")["dose"].to_list() == [1.5, 1.5, None]


def test_a_check_names_the_keys_that_are_not_declared(bench: Bench, tmp_path: Path) -> None:
    lines = [json.dumps(GOOD), '{"id": "2", "zip": 1}', '{"id": "3", "zip": 1, "b": 2}']
    [said] = checked_visits(tmp_path, write(tmp_path, *lines))
    assert said == (
        "visits: 2 rows: row has a key that is not declared, such as zip (2), b (1); the first in"
        " line 2. Declare the column, or list the key under `ignore:`"
    )


def checked_visits(folder: Path, source: Path) -> list[str]:
    return [line for line in checked(schema(folder), source, table="visits") if "rows:" in line]


@pytest.mark.parametrize("sheet", ["''", '"a/b"', '"' + "x" * 32 + '"', "5"])
def test_a_sheet_has_the_name_of_a_sheet(tmp_path: Path, sheet: str) -> None:
    with pytest.raises(Refusal, match="sheet"):
        schema(tmp_path, f"sheet: {sheet}")
