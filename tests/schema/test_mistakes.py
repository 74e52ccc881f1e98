"""Declarations that nothing could meet, or that say too little: each is refused or warned of, with
its line, its field and a remedy; whatever the YAML holds.
"""

from __future__ import annotations

import random
from pathlib import Path
from textwrap import dedent

import pytest
from mutations import mutation

from pipeline.restricted.ingest import patient_repairs, repairs
from pipeline.schema import document, repair_names
from pipeline.schema.document import DeclarationError
from pipeline.schema.reader import read_schema, read_schema_with_warnings
from pipeline.schema.values import Schema

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
TABLE = """
    dataset: toy
    title: A toy
    source: written for a test
    public: true
    layout: table
    population: {name: toy, universe: nobody, kind: public, nominal_size: 1000, epsilon: 10, delta: 1.0e-6, ceiling_epsilon: 20}
    tables:
      toy:
        file: toy
        patient: id
        columns:
          id: {kind: id, role: key}
          sex: {kind: categorical, categories: [F, M], source: tests}
          grade: {kind: ordinal, categories: ["1", "2", "3"], nullable: true, missing: ["9"], source: tests}
          age: {kind: continuous, lower: 0, upper: 120, atoms: [0], source: tests}
          born: {kind: date, lower: 1900-01-01, upper: 2020-12-31, source: tests}
          note: {kind: text, role: carried, nullable: true}
    implications:
      - {given: sex, then: grade, allowed: {F: ["1", "2", null]}}
    targets: [sex]
    """
LOG = """
    dataset: toy
    title: A toy
    source: written for a test
    public: true
    layout: log
    population: {name: toy, universe: nobody, kind: public, nominal_size: 1000, epsilon: 10, delta: 1.0e-6, ceiling_epsilon: 20}
    tables:
      people:
        file: people
        key: [id]
        patient: id
        columns:
          id: {kind: id, role: key}
          sex: {kind: categorical, categories: [F, M], source: tests}
          start: {kind: date, lower: 2011-01-01, upper: 2011-12-31, source: tests}
          last: {kind: date, lower: 2011-01-01, upper: 2017-12-31, source: tests}
          why: {kind: categorical, categories: [done, moved], source: tests}
      visits:
        file: visits
        patient: id
        columns:
          id: {kind: id, role: key}
          date: {kind: date, lower: 2011-01-01, upper: 2017-12-31, source: tests}
          what: {kind: categorical, categories: [first, routine], source: tests}
          fever: {kind: categorical, categories: ["no", "yes"], nullable: true, source: tests}
    patients:
      columns:
        sex: {like: people.sex}
        start: {like: people.start}
    events:
      origin: start
      anchor: first
      max_events: 4
      first: [first]
      rows: {table: visits, date: date, type: what}
      ending: {table: people, date: last, constant: end, code: why}
      legal_codes: [{type: end, given: sex, allowed: {F: [done], M: [done, moved]}}]
      types:
        first: {at_most: 1}
        routine: {attributes: [fever]}
        end: {terminal: true, codes: [done, moved]}
      attributes:
        fever: {kind: categorical, categories: ["no", "yes"], nullable: true, source: tests}
    """


def read(folder: Path, text: str) -> tuple[Schema, tuple[str, ...]]:
    path = folder / "toy.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return read_schema_with_warnings(path)


def test_both_are_good_as_they_stand(tmp_path: Path) -> None:
    for text in (TABLE, LOG):
        assert read(tmp_path, text)[1] == ()


# text, what is written instead, the field, what is said
REFUSED = [
    # categories and marks of missing
    (TABLE, "[F, M]", '[F, " M"]', "sex.categories", "met by no cell"),
    (TABLE, "[F, M]", '[F, "M\u00a0"]', "sex.categories", "met by no cell"),
    (TABLE, "[F, M]", '[F, ""]', "sex.categories", "met by no cell"),
    (TABLE, "[F, M]", '[F, M, "M "]', "sex.categories", "listed twice: M"),
    (TABLE, "[F, M]", '[F, "M\\nx"]', "sex.categories", "line break"),
    (TABLE, "[F, M]", "[F, [M]]", "sex.categories", "single values"),
    (TABLE, "[F, M]", "F", "sex.categories", "must be a list"),
    (TABLE, "[F, M]", "[]", "sex", "needs categories"),
    (TABLE, 'missing: ["9"]', 'missing: ["3"]', "grade.missing", "cannot be both"),
    (TABLE, 'missing: ["9"]', 'missing: ["9 "]', "grade.missing", "met by no cell"),
    (TABLE, 'missing: ["9"]', 'missing: ["9", ""]', "grade.missing", "met by no cell"),
    (TABLE, 'missing: ["9"]', 'missing: ["", ""]', "grade.missing", "met by no cell"),
    (TABLE, 'missing: ["9"]', "missing: 9", "grade.missing", "must be a list"),
    # bounds
    (TABLE, "upper: 120", "upper: 1.0e+17", "age.upper", "beyond 2^53"),
    (TABLE, "lower: 0", "lower: -10000000000000000", "age.lower", "beyond 2^53"),
    (TABLE, "upper: 120", "upper: .inf", "age.upper", "beyond 2^53"),
    (TABLE, "upper: 120", "upper: .nan", "age.upper", "beyond 2^53"),
    (TABLE, "upper: 120", "upper: yes", "age.upper", "must be a number"),
    (TABLE, "upper: 120", "upper: 2011-01-01", "age.upper", "must be a number"),
    (TABLE, "lower: 1900-01-01", "lower: 1900", "born.lower", "must be a date"),
    (TABLE, "lower: 1900-01-01", "lower: 1900-01-01T12:00:00", "born.lower", "must be a date"),
    (TABLE, "lower: 1900-01-01", "lower: 01/07/1900", "born.lower", "must be a date"),
    (TABLE, "lower: 1900-01-01", "lower: 1900-13-45", "(YAML)", "cannot be read"),
    (TABLE, "atoms: [0]", "atoms: [121]", "age.atoms", "not between"),
    (TABLE, "atoms: [0]", "atoms: [x]", "age.atoms", "must be a number"),
    (TABLE, "atoms: [0]", "atoms: 0", "age.atoms", "must be a list"),
    (TABLE, "atoms: [0]", "atoms: [0, 0.0]", "age.atoms", "twice"),
    (TABLE, "atoms: [0]", "breaks: [121]", "age.breaks", "at most upper"),
    (TABLE, "atoms: [0]", "breaks: [0]", "age.breaks", "not above lower"),
    (TABLE, "atoms: [0]", "breaks: [18.5]", "age.breaks", "more places than decimals"),
    (TABLE, "atoms: [0]", "breaks: 18", "age.breaks", "must be a list"),
    (TABLE, "atoms: [0]", "breaks: [18, 18.0]", "age.breaks", "twice"),
    (TABLE, "upper: 120, atoms: [0]", "upper: 1", "age", "decimals must be said"),
    (TABLE, "lower: 0, upper: 120, atoms: [0]", "lower: -1, upper: 1", "age", "decimals must"),
    (TABLE, "upper: 120", "upper: 120.5", "age.upper", "more places than decimals"),
    (TABLE, "upper: 120", "upper: 120, decimals: 16", "age.decimals", "0 to 15"),
    (TABLE, "upper: 120", "upper: 120, decimals: 14", "age.decimals", "what a float holds"),
    (TABLE, "upper: 120", "upper: 120, decimals: two", "age.decimals", "a whole number"),
    (TABLE, "upper: 120", "upper: 120, decimals: 1.5", "age.decimals", "a whole number"),
    (TABLE, "upper: 120", "upper: 120, scale: 0", "age.scale", "above 0"),
    (TABLE, "upper: 120", "upper: 120, transform: log", "age.transform", "none of"),
    (TABLE, "[F, M]", "[F, M], lower: 0", "sex.lower", "belongs to numbers"),
    (TABLE, "upper: 120", "upper: 120, categories: [a]", "age.categories", "kind continuous"),
    # single fields
    (TABLE, "nullable: true, missing", 'nullable: "yes", missing', "grade.nullable", "true or fal"),
    (TABLE, "title: A toy", "title: 7", "title", "must be text"),
    (TABLE, "title: A toy", "title: [A, toy]", "title", "must be text"),
    (TABLE, "    source: written for a test\n", "", "(top)", "'source' is missing"),
    (TABLE, "[F, M]", "[F, M], lookup: nothing", "sex.lookup", "no list named"),
    (TABLE, "[F, M]", "[F, M], header: 5", "sex.header", "put it in quotes"),
    (TABLE, "[F, M]", '[F, M], aliases: ["a\\nb"]', "sex.aliases", "line break"),
    (TABLE, "[F, M]", "[F, M], aliases: [AGE]", "toy.columns", "from one header: age"),
    (TABLE, "patient: id", "patient: [id]", "toy.patient", "must be text"),
    (
        TABLE,
        "patient: id",
        "patient: id\n        ignore: [SEX]",
        "toy.ignore",
        "of this table, too",
    ),
    (TABLE, "patient: id", "patient: id\n        max_rows: 0", "toy.max_rows", "at least 1"),
    (TABLE, "patient: id", "patient: id\n        required: 1", "toy.required", "true or false"),
    (TABLE, "nominal_size: 1000", "nominal_size: many", "nominal_size", "a whole number"),
    (TABLE, "nominal_size: 1000", "nominal_size: 0", "nominal_size", "at least 1"),
    (TABLE, "epsilon: 10,", "epsilon: [10],", "population.epsilon", "must be a number"),
    (TABLE, "targets: [sex]", "targets: sex", "targets", "must be a list"),
    (TABLE, "targets: [sex]", "targets: [sex, sex]", "targets", "twice"),
    # repairs
    (TABLE, "[F, M]", "[F, M], repairs: [guess]", "sex.repairs", "known are"),
    (TABLE, "[F, M]", "[F, M], repairs: [fill(X)]", "sex.repairs", "no legal value"),
    (TABLE, "[F, M]", "[F, M], repairs: [replace(m=N)]", "sex.repairs", "no legal value"),
    (TABLE, "[F, M]", "[F, M], repairs: [replace(=N)]", "sex.repairs", "replace(old=new)"),
    (TABLE, "upper: 120", "upper: 120, repairs: [fill(130)]", "age.repairs", "no legal value"),
    (TABLE, "upper: 120", "upper: 120, repairs: [fill(old)]", "age.repairs", "no legal value"),
    (TABLE, "[F, M]", "[F, M], repairs: [not_before_origin]", "sex.repairs", "needs layout log"),
    (TABLE, "[F, M]", "[F, M], repairs: fill(F)", "sex.repairs", "must be a list"),
    # implications
    (TABLE, "{F: [", "{f: [", "allowed.f", "'f' is no value of sex: there are F, M"),
    (TABLE, '["1", "2", null]', '["1", "4"]', "allowed.F", "'4' is no value of grade"),
    (TABLE, '["1", "2", null]', '"1"', "allowed.F", "list of values"),
    (TABLE, '{F: ["1", "2", null]}', '["1"]', "implications.0", "needs allowed"),
    (TABLE, '["1", "2", null]', "[]", "allowed.F", "never be drawn"),
    (TABLE, "given: sex, then: grade", "given: age, then: born", "given", "starts from categories"),
    (TABLE, "- {given: sex", "- [given, sex]\n      - {given: sex", "implications.0", "a mapping"),
    (
        TABLE,
        "then: grade, allowed: {F",
        "then: age, allowed: {M: [5], F",
        "allowed.M",
        "its atoms are 0",
    ),
    # layouts
    (TABLE, "layout: table", "layout: log", "layout", "a log has events"),
    (TABLE, "layout: table", "layout: tabel", "layout", "none of table, log"),
    (
        TABLE,
        "    implications:",
        "      more:\n        file: more\n        columns: {x: {kind: id, role: key}}\n    implications:",
        "tables",
        "has one table, here are 2",
    ),
    (
        TABLE,
        "    implications:",
        "      more: {file: TOY, patient: x, columns: {x: {kind: id, role: key}}}\n    implications:",
        "more.file",
        "two tables are read",
    ),
    (
        TABLE,
        "    targets",
        "    patients: {sex: {like: toy.sex}}\n    targets",
        "patients.sex",
        "under columns",
    ),
    (
        TABLE,
        "    targets",
        "    patients: {columns: {x: {kind: date, lower: 2011-01-01, upper: 2012-01-01}}}\n    targets",
        "columns.x",
        "no column of the table",
    ),
    (LOG, "layout: log", "layout: table", "events", "layout table has none"),
    (LOG, "      rows: {table: visits, date: date, type: what}\n", "", "events", "add `rows:"),
    (
        LOG,
        "      ending: {table: people, date: last, constant: end, code: why}\n",
        "",
        "events",
        "add `ending:",
    ),
    (LOG, "rows: {table: visits", "rows: {table: visit", "rows.table", "no table named 'visit'"),
    (LOG, "date: date, type: what", "date: what, type: what", "rows.date", "of kind date"),
    (LOG, "date: date, type: what", "date: on, type: what", "rows.date", "no column of visits"),
    (LOG, "date: date, type: what", "date: date", "events.rows", "`type` or by `constant`"),
    (LOG, "constant: end, code", "constant: routine, code", "ending.constant", "no terminal type"),
    (LOG, "codes: [done, moved]}", "codes: [done]}", "ending.code", "moved of why is no code"),
    (LOG, "categories: [first, routine]", "categories: [a, b]", "rows.type", "is a type of event"),
    (LOG, "        key: [id]\n", "", "tables", "one row per patient"),
    (
        LOG,
        "        patient: id\n        columns:\n          id: {kind: id, role: key}\n          date",
        "        columns:\n          id: {kind: id, role: key}\n          date",
        "tables.visits",
        "whose its rows are",
    ),
    (
        LOG,
        "start: {like: people.start}",
        "start: {like: people.start}\n        x: {kind: continuous, lower: 0, upper: 9}",
        "columns.x",
        "no column of people, visits",
    ),
    # events
    (LOG, "allowed: {F: [done]", "allowed: {f: [done]", "allowed.f", "'f' is no value of sex"),
    (LOG, "allowed: {F: [done]", "allowed: {F: [doen]", "allowed.F", "'doen' is no code of end"),
    (LOG, "given: sex, allowed", "given: start, allowed", "legal_codes.0.given", "have categories"),
    (LOG, "first: {at_most: 1}", "first: {at_most: 0}", "types.first.at_most", "at least 1"),
    (LOG, "first: {at_most: 1}", "first: {at_most: one}", "types.first.at_most", "whole number"),
    (LOG, "first: {at_most: 1}", "first: [at_most]", "types.first", "must be a mapping"),
    (LOG, "first: {at_most: 1}", "first: {inside: first}", "types.first", "inside of itself"),
    (LOG, "max_events: 4", "max_events: lots", "events.max_events", "whole number"),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      upper_day: -5",
        "events.upper_day",
        "day 0 must lie",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      gap_edges: [0, 1.5]",
        "gap_edges",
        "whole numbers",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      deadlines: [{event: end, after: [], days: 3}]",
        "after",
        "at least one type",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      deadlines: {event: end}",
        "deadlines",
        "must be a list",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      windows: [{event: routine, since: [], days: 3}]",
        "windows.0.since",
        "at least one type",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      windows: [{event: routine, since: [begin], days: 3}]",
        "events.windows",
        "no event type named 'begin'",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      windows: [{event: routine, since: [first], days: -1}]",
        "windows.0.days",
        "at least 0",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      windows: [{event: routine, since: [first], days: long}]",
        "windows.0.days",
        "a whole number",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      windows: [{event: routine, since: [first]}]",
        "windows.0",
        "'days' is missing",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      exclusions: [{types: [routine]}]",
        "exclusions.0.group",
        "must be a mapping",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      exclusions: [{types: [], group: {sex: [F]}}]",
        "exclusions.0.types",
        "at least one type",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      exclusions: [{types: [visit], group: {sex: [F]}}]",
        "events.exclusions",
        "no event type named 'visit'",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      exclusions: [{types: [routine], group: {sex: [f]}}]",
        "exclusions.0.group.sex",
        "'f' is no value of sex",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      exclusions: [{types: [routine], group: {sex: [null]}}]",
        "exclusions.0.group.sex",
        "never missing",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      exclusions: [{types: [routine], group: {sex: F}}]",
        "exclusions.0.group.sex",
        "a list of values",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      exclusions: [{types: [routine], group: {sex: []}}]",
        "exclusions.0.group.sex",
        "at least one value",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      exclusions: [{types: [routine], group: {age: [F]}}]",
        "exclusions.0.group.age",
        "no static column",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      exclusions: [{types: [routine], group: {start: [F]}}]",
        "exclusions.0.group.start",
        "have categories",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      exclusions: [{types: [end], codes: [gone], group: {sex: [F]}}]",
        "exclusions.0.codes",
        "'gone' is no code of end",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      deadlines: [{event: end, after: [first], days: 3, group: {sex: [X]}}]",
        "deadlines.0.group.sex",
        "'X' is no value of sex",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      largest_steps: {fever: 1}",
        "largest_steps.fever",
        "only ordinal",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      largest_steps: {pain: 1}",
        "largest_steps.pain",
        "no attribute named 'pain'",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      largest_steps: {fever: 0}",
        "largest_steps.fever",
        "at least 1",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      largest_steps: {fever: far}",
        "largest_steps.fever",
        "whole number",
    ),
    (
        LOG,
        "max_events: 4",
        "max_events: 4\n      largest_steps: [fever]",
        "largest_steps",
        "must be a mapping",
    ),
    (LOG, "codes: [done, moved]}", 'codes: [done, moved, "moved "]}', "end.codes", "listed twice"),
    (LOG, "origin: start", "origin: [start]", "events.origin", "must be text"),
    # names
    (TABLE, "dataset: toy", "dataset: ../toy", "dataset", "is no name here"),
    (TABLE, "dataset: toy", "dataset: /toy", "dataset", "is no name here"),
    (TABLE, "dataset: toy", "dataset: .toy", "dataset", "is no name here"),
    (TABLE, "dataset: toy", "dataset: 2024", "dataset", "is no name here"),
    (TABLE, "dataset: toy", 'dataset: "to\\ny"', "dataset", "is no name here"),
    (TABLE, "file: toy", "file: ../../x", "toy.file", "without folder and ending"),
    (TABLE, "file: toy", "file: /etc/x", "toy.file", "without folder and ending"),
    (TABLE, "file: toy", "file: a/b", "toy.file", "without folder and ending"),
    (TABLE, "file: toy", "file: .toy", "toy.file", "without folder and ending"),
    (TABLE, "file: toy", "file: a..b", "toy.file", "without folder and ending"),
    (TABLE, "file: toy", 'file: "a\\0b"', "toy.file", "without folder and ending"),
    (TABLE, "file: toy", "file: 'a\"b'", "toy.file", "without folder and ending"),
    (TABLE, "file: toy", "file: SQLite_toy", "toy.file", "SQLite keeps names"),
    (TABLE, "      toy:\n", '      "../toy":\n', "tables.../toy", "is no name here"),
    (TABLE, "      toy:\n", "      'to\"y':\n", "tables.to", "is no name here"),
    (TABLE, "{name: toy,", "{name: ../toy,", "population.name", "is no name here"),
    (TABLE, "{name: toy,", '{name: "a;b",', "population.name", "is no name here"),
    (TABLE, "dataset: toy", "extends: ../adult\n    dataset: toy", "extends", "is no name here"),
    (TABLE, "dataset: toy", "extends: [adult]\n    dataset: toy", "extends", "is no name here"),
    (TABLE, "dataset: toy", "extends: toy\n    dataset: toy", "extends", "goes in a circle"),
    (TABLE, "          sex: {", "          1: {", "columns.1", "put it in quotes"),
    (LOG, "routine: {attributes", "rou,tine: {attributes", "types.rou,tine", "is no name here"),
    (LOG, "routine: {attributes", '"a/b": {attributes', "types.a/b", "is no name here"),
    # YAML itself
    (TABLE, "title: A toy", "title: " + "[" * 60 + "]" * 60, "(YAML)", "without end"),
    (TABLE, "title: A toy", "title: !!python/object:os.system x", "title", "must be text"),
    (TABLE, "title: A toy", "title: A toy\n    title: B", "(YAML)", "duplicate"),
]


@pytest.mark.parametrize(
    ("text", "old", "new", "field", "what"),
    REFUSED,
    ids=[f"{field}: {what}" for *_, field, what in REFUSED],
)
def test_a_mistake_is_refused_with_line_and_field(
    tmp_path: Path, text: str, old: str, new: str, field: str, what: str
) -> None:
    assert old in text
    with pytest.raises(DeclarationError) as caught:
        read(tmp_path, text.replace(old, new))
    found = [line for line in caught.value.problems if field in line and what in line]
    assert found and found[0].startswith("toy.yaml:"), str(caught.value)


WARNED = [
    (TABLE, "[F, M], source: tests", "[F, M]", "sex", "add source"),
    (TABLE, 'nullable: true, missing: ["9"]', 'missing: ["9"]', "grade.missing", "is dropped"),
    (TABLE, '{F: ["1", "2", null]}', "{}", "implications.0", "forbids nothing"),
    (
        TABLE,
        "        patient: id\n        columns:\n          id:",
        "        columns:\n          patient_id:",
        "tables.toy",
        "a person of its own",
    ),
    (
        LOG,
        "categories: [first, routine]",
        "categories: [first, routine, other]",
        "rows.type",
        "what is other are no events",
    ),
    (
        LOG,
        "constant: end, code: why}\n      legal_codes: [{type: end, given: sex, allowed: {F: [done], M: [done, moved]}}]",
        "constant: end}",
        "",
        "",
    ),
    (LOG, "attributes: [fever]", "attributes: []", "attributes.fever", "no type of event has it"),
]


@pytest.mark.parametrize(("text", "old", "new", "field", "what"), WARNED[:5] + WARNED[6:])
def test_what_is_likely_meant_otherwise_is_a_warning(
    tmp_path: Path, text: str, old: str, new: str, field: str, what: str
) -> None:
    assert old in text
    _, warnings = read(tmp_path, text.replace(old, new))
    assert len(warnings) == 1, warnings
    assert warnings[0].startswith("toy.yaml:") and field in warnings[0] and what in warnings[0]


def test_a_log_without_an_end_of_its_own_is_a_warning_where_an_end_needs_no_code(
    tmp_path: Path,
) -> None:
    text = "\n".join(
        line for line in LOG.split("\n") if "ending:" not in line and "legal_codes:" not in line
    ).replace("terminal: true, codes: [done, moved]", "terminal: true")
    for column in ("last", "why"):
        text = text.replace(f"{column}: {{", f"{column}: {{role: carried, ")
    _, warnings = read(tmp_path, text)
    assert len(warnings) == 1 and "each ends (end) with its last row" in warnings[0]


def test_a_filled_or_renamed_value_is_no_mistake(tmp_path: Path) -> None:
    for repair in ("fill(F)", "replace(x=M)", '"fill(f)", "replace(f=F)"'):
        text = TABLE.replace("[F, M]", f"[F, M], repairs: [{repair}]")
        assert read(tmp_path, text)[1] == ()
    text = TABLE.replace('missing: ["9"]', 'missing: ["9"], repairs: [fill(9)]')
    assert read(tmp_path, text)[1] == ()


def test_decimals_that_are_said_are_meant(tmp_path: Path) -> None:
    for decimals in (0, 3):
        column = f"lower: 0, upper: 1, decimals: {decimals}"
        schema, _ = read(tmp_path, TABLE.replace("lower: 0, upper: 120, atoms: [0]", column))
        assert schema.patients["age"].decimals == decimals


def test_the_repairs_that_may_be_named_are_those_there_are() -> None:
    assert set(repair_names.OF_CELLS) == set(repairs.BY_NAME)
    assert set(repair_names.WITH_ARGUMENT) == set(repairs.WITH_ARGUMENT)
    assert tuple(patient_repairs.ORDER) == repair_names.OF_PATIENTS


@pytest.mark.parametrize("path", sorted(DATASETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_nothing_is_warned_of_in_the_shipped_declarations(path: Path) -> None:
    assert read_schema_with_warnings(path)[1] == ()


@pytest.mark.parametrize(
    ("name", "times"),
    [("uganda_malaria", 50), ("uci_heart", 70), ("hr_attrition", 40), ("cancer_pathways", 20)],
)
def test_whatever_a_declaration_holds_it_is_read_or_refused(
    tmp_path: Path, name: str, times: int
) -> None:
    """Fixed seed; several hundred declarations with something gone, exchanged, or of another
    type.
    """
    value, rng = document.read(DATASETS / f"{name}.yaml").value, random.Random(14)
    path, refusals = tmp_path / "toy.yaml", 0
    for _ in range(times):
        document.dump(mutation(value, rng), path)
        try:
            assert isinstance(read_schema(path), Schema)
        except DeclarationError as error:
            assert all(problem.count(":") >= 3 for problem in error.problems)
            refusals += 1
    assert times / 4 < refusals < times


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"- a\n", b"a: [", b"--- a\n--- b\n", b"\0", b"a: *b", b"? [a]\n: b\n"],
)
def test_a_file_that_is_no_declaration_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "toy.yaml"
    path.write_bytes(content)
    with pytest.raises(DeclarationError, match=r"toy\.yaml:"):
        read_schema(path)
    with pytest.raises(DeclarationError):
        read_schema(tmp_path)
