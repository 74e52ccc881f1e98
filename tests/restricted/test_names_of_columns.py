"""Columns whose names are those of our own: what is legal goes through ingest, the log and back to
tables; what is not is refused when the declaration is read.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import polars as pl
import pytest
from ingest_cases import Bench, Ingested, write_csv
from polars.testing import assert_frame_equal

from pipeline.adapters import to_log, to_tables
from pipeline.checks.synthetic_gate import check_synthetic
from pipeline.released.writers import headers
from pipeline.schema.document import DeclarationError
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.reader import read_schema, read_schema_with_warnings
from pipeline.schema.values import Schema

HEAD = """
    dataset: toy
    title: A toy
    source: written for a test
    public: true
    population: {name: toy, universe: nobody, kind: public, nominal_size: 1000, epsilon: 10, delta: 1.0e-6, ceiling_epsilon: 20}
    """
# names that ingest, adapters, checks and models give to columns of their own somewhere
EVERYWHERE = [
    "v", "f", "l", "w0", "text", "row", "rows", "fault", "owner", "reason", "source", "rule",
    "index", "len", "count", "literal", "element", "new_id", "gram", "stratum", "dataset", "mask",
    "c0", "column_0", "value", "mark", "at", "since", "due", "token", "label", "patient", "kind",
    "duration", "dead", "file", "table", "key", "static", "differs", "x_differs", "x_right", "root",
]  # fmt: skip
BESIDE_NO_EVENTS = ["seq", "day", "type", "code", "end", "survival", "order", "length"]
NEVER = [
    "_row", "_bucket", "_owner", "_reason", "_source", "_last", "_origin", "_colour", "_pathway",
    "_anchor", "_patient", "_type", "_x", "static:x", "source:patient_id", "x:differs", "a/b",
    "../x", "a..b", ".x", "x\ny", "x\0", 'a"b', "it's", "a,b", "a=b", "", " x", "x ", "a  b",
    "`x`", "a;b", "x" * 101,
]  # fmt: skip


def declared(folder: Path, text: str) -> Schema:
    path = folder / "toy.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return read_schema(path)


def table_of(columns: list[str], top: str = "") -> str:
    lines = "\n".join(
        f"          {name!r}: {{kind: categorical, categories: [a, b], source: tests}}"
        for name in columns
    )
    return (
        dedent(HEAD)
        + f"layout: table\ntables:\n  people:\n    file: people\n{top}    columns:\n"
        + lines
        + "\n"
    )


def both_ways(schema: Schema, done: Ingested) -> None:
    """Ingest's tables are those that patients, events and what is carried give again."""
    carried = {
        path.stem: pl.read_parquet(path) for path in done.restricted.carried.glob("*.parquet")
    }
    events = done.events if done.restricted.events.exists() else None
    log = PatientLog(done.patients, events)
    again = to_tables(schema, log, carried=carried, extract_date=None)
    assert set(again) == set(schema.tables)
    for name, rows in again.items():
        assert_frame_equal(rows, done.table(name), check_row_order=False, check_column_order=False)
    drawn = to_tables(schema, log, extract_date=None)
    assert check_synthetic(schema, drawn, log).failures == ()


@pytest.mark.parametrize("top", ["", "    patient: patient_id\n    key: [patient_id]\n"])
def test_a_table_may_bear_all_names_that_are_used_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top: str
) -> None:
    names = [*EVERYWHERE, *BESIDE_NO_EVENTS]
    text = table_of(names, top) + (
        "      patient_id: {kind: id, role: key, integer: true%s}\n"
        % ("" if top else ", nullable: true")
    )
    schema = declared(tmp_path, text.replace("          '", "      '"))
    rows = [("a",) * len(names) + ("7",), ("b",) * len(names) + ("8",)]
    source = write_csv(tmp_path / "source" / "people.csv", (*names, "patient_id"), *rows)
    done = Bench(tmp_path, monkeypatch).ingest(schema, source)
    assert done.report["dropped_patients_by_reason"] == {}
    assert done.patients.columns == [ID, *names]
    assert done.patients.select(names).rows() in (
        [("a",) * len(names), ("b",) * len(names)],
        [("b",) * len(names), ("a",) * len(names)],
    )
    if top:
        assert done.patients[ID].to_list() == [7, 8]
    assert list(headers(schema.tables["people"]).values()) == [*names, "patient_id"]
    both_ways(schema, done)


LOG = (
    HEAD
    + """
    layout: log
    tables:
      people:
        file: people
        key: [patient_id]
        patient: patient_id
        columns:
          patient_id: {kind: id, role: key, integer: true}
          %(static)s: {kind: categorical, categories: [F, M], source: tests}
          start: {kind: date, lower: 2011-01-01, upper: 2011-12-31, source: tests}
          last: {kind: date, lower: 2011-01-01, upper: 2017-12-31, source: tests}
      visits:
        file: visits
        patient: patient_id
        columns:
          patient_id: {kind: id, role: key, integer: true}
          day: {kind: date, lower: 2011-01-01, upper: 2017-12-31, source: tests}
          type: {kind: categorical, categories: [first, routine], source: tests}
          code: {kind: categorical, categories: [x, y], nullable: true, source: tests}
          %(attribute)s: {kind: categorical, categories: ["no", "yes"], nullable: true, source: tests}
          %(beside)s: {kind: text, role: carried, nullable: true}
    patients:
      columns:
        %(static)s: {like: people.%(static)s}
        start: {like: people.start}
    events:
      origin: start
      anchor: null
      max_events: 9
      rows: {table: visits, date: day, type: type, code: code}
      ending: {table: people, date: last, constant: end}
      types:
        first: {codes: [x, y]}
        routine: {codes: [x, y], attributes: [%(attribute)s]}
        end: {terminal: true}
      attributes:
        %(attribute)s: {kind: categorical, categories: ["no", "yes"], nullable: true, source: tests}
    """
)


@pytest.mark.parametrize(
    ("static", "attribute", "beside"),
    [
        ("row", "v", "c0"),
        ("reason", "rule", "owner"),
        ("len", "index", "literal"),
        ("token", "text", "fault"),
        ("new_id", "at", "x_differs"),
        ("kind", "value", "mask"),
    ],
)
def test_a_log_may_bear_them_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, static: str, attribute: str, beside: str
) -> None:
    names = {"static": static, "attribute": attribute, "beside": beside}
    schema = declared(tmp_path, LOG % names)
    folder = tmp_path / "source"
    write_csv(
        folder / "people.csv",
        ("patient_id", static, "start", "last"),
        ("7", "F", "2011-02-01", "2012-02-01"),
        ("3", "M", "2011-03-01", "2011-09-01"),
    )
    write_csv(
        folder / "visits.csv",
        ("patient_id", "day", "type", "code", attribute, beside),
        ("7", "2011-02-01", "first", "x", "", "note"),
        ("7", "2011-05-01", "routine", "y", "yes", ""),
        ("3", "2011-03-02", "first", "x", "", "other"),
    )
    done = Bench(tmp_path, monkeypatch).ingest(schema, folder)
    assert done.report["dropped_patients_by_reason"] == {}
    assert done.patients.select(ID, static).rows() == [(3, "M"), (7, "F")]
    assert done.events.filter(pl.col("type") == "routine").select(
        ID, "seq", "day", "code", attribute
    ).rows() == [(7, 1, 89, "y", "yes")]
    both_ways(schema, done)


@pytest.mark.parametrize("name", NEVER)
def test_other_names_are_refused_with_a_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(DeclarationError, match="header") as caught:
        column = f"{{kind: categorical, categories: [a, b], header: {name!r}}}"
        declared(tmp_path, table_of(["fine"]) + f"          {as_key(name)}: {column}\n")
    assert "toy.yaml:" in str(caught.value) and "is no name here" in str(caught.value)


def as_key(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + escaped.replace("\0", "\\0") + '"'


def test_any_spelling_of_a_source_is_a_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spellings = ["_row", "_owner", "static:x", "a/b", "../x", "it's", "(%)", "x__differs", "v"]
    lines = "".join(
        f"          c{place}: {{kind: categorical, categories: [a, b], header: {as_key(name)}}}\n"
        for place, name in enumerate(spellings)
    )
    schema = declared(tmp_path, table_of([]) + lines)
    source = write_csv(tmp_path / "source" / "people.csv", tuple(spellings), ("a",) * 9)
    done = Bench(tmp_path, monkeypatch).ingest(schema, source)
    assert done.patients.drop(ID).rows() == [("a",) * 9]
    both_ways(schema, done)


OURS = ["seq", "day", "type", "code", "survival", "end", "count routine", "first routine"]


@pytest.mark.parametrize("where", ["static", "attribute"])
@pytest.mark.parametrize("name", OURS)
def test_what_stands_beside_events_has_names_of_its_own(
    tmp_path: Path, name: str, where: str
) -> None:
    text = LOG
    if where == "attribute":  # the rows' own columns make way
        text = text.replace(f"          {name}: {{kind", "          other: {kind")
        text = text.replace(f": {name}, ", ": other, ").replace(f": {name}}}", ": other}")
    names = {"static": "sex", "attribute": "fever", "beside": "note"} | {where: name}
    with pytest.raises(DeclarationError, match=r"is a name of our own.*Name it otherwise"):
        declared(tmp_path, text % names)


def test_a_row_number_of_the_source_has_another_name_there(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="seq_in_source, with `header: seq`"):
        declared(tmp_path, LOG % {"static": "sex", "attribute": "fever", "beside": "seq"})


def test_a_patient_id_that_is_not_said_to_be_one_is_a_warning(tmp_path: Path) -> None:
    text = table_of(["sex"]) + "          patient_id: {kind: id, role: key, integer: true}\n"
    path = tmp_path / "toy.yaml"
    path.write_text(text, encoding="utf-8")
    _, warnings = read_schema_with_warnings(path)
    assert len(warnings) == 1 and "toy.yaml:" in warnings[0]
    assert "say `patient: patient_id`" in warnings[0]
    path.write_text(text.replace("file: people\n", "file: people\n    patient: patient_id\n"))
    assert read_schema_with_warnings(path)[1] == ()


def test_a_table_of_rows_may_go_by_a_shared_patient_id(tmp_path: Path) -> None:
    """`to_log` of tables that have the id under its declared name."""
    schema = declared(tmp_path, LOG % {"static": "sex", "attribute": "fever", "beside": "note"})
    people, visits = schema.tables["people"], schema.tables["visits"]
    assert people.key == (people.patient,) and people.patient == visits.patient
    assert people.columns[people.patient or ""].header == "patient_id"
    frames = {
        "people": pl.DataFrame(
            {people.patient: [1], "sex": ["F"], "start": ["2011-02-01"], "last": ["2011-03-01"]}
        ).with_columns(pl.col("start", "last").str.to_date()),
        "visits": pl.DataFrame(
            {visits.patient: [1], "day": ["2011-02-02"], "type": ["first"], "code": ["x"],
             "fever": [None], "note": [None]}
        ).with_columns(pl.col("day").str.to_date()),
    }  # fmt: skip
    assert to_log(schema, frames).log.patients[ID].to_list() == [1]
