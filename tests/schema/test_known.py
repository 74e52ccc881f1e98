"""Published tables and related columns in a declaration: how they are read, and that each mistake
is refused with its line, its field and a remedy.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from textwrap import dedent

import pytest
from mutations import mutation

from pipeline.models.declaration import schema_from_plain, to_plain
from pipeline.schema import document, known_reader
from pipeline.schema.document import DeclarationError
from pipeline.schema.reader import read_schema_with_warnings
from pipeline.schema.values import KnownTable, Level, Schema

TOY = """
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
          organ: {kind: categorical, categories: [skin, lung, womb, eye], source: tests}
          sex: {kind: categorical, categories: [F, M], source: tests}
          stage: {kind: ordinal, categories: ["1", "2", "3"], nullable: true, source: tests}
          age: {kind: continuous, lower: 0, upper: 120, source: tests}
          again: {kind: continuous, lower: 0, upper: 120, source: tests}
          born: {kind: date, lower: 1900-01-01, upper: 2020-12-31, source: tests}
          note: {kind: text, role: carried, nullable: true}
    implications:
      - {given: organ, then: sex, allowed: {womb: [F]}}
    equal: [age, again]
    related: [[organ, sex], [organ, stage, age]]
    known:
      - name: organ_by_sex
        columns: [organ, sex]
        levels: {sex: [F, M]}
        counts: {skin: [30, 20], lung: [15, 25], womb: [10, 0]}
        source: Yearbook of organs, table 3
        year: 2013 to 2017
        weight: 500
      - name: ages
        columns: [age]
        levels: {age: [[0, 49], [50, 120]]}
        counts: [1, 3]
        source: Yearbook of organs, table 4
        year: "2017"
        weight: 200
    """
PUBLISHED = """
    tables:
      stages:
        columns: [stage]
        counts: {"1": 2, "2": 1, null: 1}
        source: Yearbook of stages, table 1
        year: "2016"
        weight: 300
    """


def read(folder: Path, text: str) -> tuple[Schema, tuple[str, ...]]:
    path = folder / "toy.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return read_schema_with_warnings(path)


def problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(DeclarationError) as caught:
        read(folder, text)
    return caught.value.problems


def with_tables(*tables: str) -> str:
    """The declaration with other published tables, each as a mapping in one line."""
    lines = [f"      - {table}" for table in tables]
    return "\n".join([TOY[: TOY.index("    known:")] + "    known:", *lines]) + "\n"


def table(**fields: str) -> str:
    values = {
        "name": "one",
        "columns": "[sex]",
        "counts": "{F: 1, M: 3}",
        "source": "a yearbook",
        "year": "'2017'",
        "weight": "100",
    } | fields
    return "{" + ", ".join(f"{name}: {value}" for name, value in values.items() if value) + "}"


def test_a_table_is_shares_in_the_order_of_its_levels(tmp_path: Path) -> None:
    schema, warnings = read(tmp_path, TOY)
    assert warnings == ()
    first, second = schema.known
    assert first == KnownTable(
        name="organ_by_sex",
        columns=("organ", "sex"),
        levels=(
            tuple(Level(values=(organ,)) for organ in ("skin", "lung", "womb")),
            (Level(values=("F",)), Level(values=("M",))),
        ),
        shares=(0.3, 0.2, 0.15, 0.25, 0.1, 0.0),
        source="Yearbook of organs, table 3",
        year="2013 to 2017",
        weight=500,
    )
    assert second.levels == ((Level(low=0, high=49), Level(low=50, high=120)),)
    assert second.shares == (0.25, 0.75)
    assert schema.related == (("organ", "sex"), ("organ", "stage", "age"))


def test_one_table_can_be_written_in_several_ways(tmp_path: Path) -> None:
    ways = [
        table(columns="[organ, sex]", levels="{organ: [skin, lung], sex: [F, M]}", counts=counts)
        for counts in (
            "[[1, 2], [3, 4]]",
            "[1, 2, 3, 4]",
            "{lung: [3, 4], skin: [1, 2]}",
            "{skin: {M: 2, F: 1}, lung: [3, 4]}",
            "[{F: 0.01, M: 0.02}, {F: 0.03, M: 0.04}]",
        )
    ]
    read_tables = [read(tmp_path, with_tables(way))[0].known[0] for way in ways]
    for other in read_tables:
        assert other.levels == read_tables[0].levels
        assert other.shares == pytest.approx((0.1, 0.2, 0.3, 0.4))


def test_levels_may_be_groups_with_names_missing_and_dates(tmp_path: Path) -> None:
    groups = table(
        columns="[organ, stage, born]",
        levels="{organ: {inner: [lung, womb], outer: [skin]}, stage: ['1', ['2', '3'], null],"
        " born: [[1900-01-01, 1970-01-01], [1970-01-02, 1970-01-11]]}",
        counts="{outer: [[1, 1], [1, 1], [1, 1]], inner: [[2, 2], [2, 2], [2, 2]]}",
    )
    known = read(tmp_path, with_tables(groups))[0].known[0]
    assert known.levels[0] == (Level(values=("lung", "womb")), Level(values=("skin",)))
    assert known.levels[1][1:] == (Level(values=("2", "3")), Level(values=(None,)))
    assert known.levels[2] == (Level(low=-25567, high=0), Level(low=1, high=10))
    assert known.shares == pytest.approx([1 / 9] * 6 + [1 / 18] * 6)


def test_a_file_of_its_own_is_read_and_its_weight_may_be_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_reader, "FOLDER", tmp_path)
    (tmp_path / "yearbook.yaml").write_text(dedent(PUBLISHED), encoding="utf-8")
    known = read(tmp_path, with_tables("{from: yearbook.stages}"))[0].known[0]
    assert (known.name, known.weight, known.shares) == ("stages", 300, (0.5, 0.25, 0.25))
    assert known.levels[0][-1] == Level(values=(None,))
    known = read(tmp_path, with_tables("{from: yearbook.stages, weight: 20}"))[0].known[0]
    assert known.weight == 20
    assert [table.name for table in read(tmp_path, with_tables("{from: yearbook}"))[0].known] == [
        "stages"
    ]
    for entry, what in (
        ("{from: yearbook.stages, weight: 0}", "above 0"),
        ("{from: yearbook.stages, weight: [1]}", "must be a number"),
        ("{from: yearbook, weight: 20}", "name it, FILE.TABLE"),
    ):
        told = problems(tmp_path, with_tables(entry))
        assert told[0].startswith("toy.yaml:") and "weight" in told[0] and what in told[0]
    told = problems(tmp_path, with_tables("{from: yearbook}", "{from: yearbook.stages}"))
    assert "a second table named 'stages'" in told[0]


def test_a_mistake_in_a_file_is_told_with_its_line_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_reader, "FOLDER", tmp_path)
    text = PUBLISHED.replace('"2": 1', '"7": 1')
    (tmp_path / "other.yaml").write_text(dedent(text), encoding="utf-8")
    told = problems(tmp_path, with_tables("{from: other.stages}"))
    assert told[0].startswith("other.yaml:5: tables.stages.counts.7: '7' is no value of stage")
    assert "uses the codes" in told[0]
    (tmp_path / "empty.yaml").write_text("tables: {}", encoding="utf-8")
    for name, what in (
        ("other.nothing", "there are stages"),
        ("nowhere.stages", "no file 'nowhere'"),
        ("../other.stages", "no file"),
        ("empty", "no table 'at all'"),
    ):
        told = problems(tmp_path, with_tables(f"{{from: {name}}}"))
        assert told[0].startswith("toy.yaml:") and what in told[0]


def test_a_saved_model_keeps_them(tmp_path: Path) -> None:
    schema, _ = read(tmp_path, TOY)
    plain = json.loads(json.dumps(to_plain(schema)))
    assert schema_from_plain(plain) == schema
    nothing, _ = read(tmp_path, TOY[: TOY.index("    related:")])
    assert not {"known", "related"} & set(to_plain(nothing))


REFUSED = [
    (table(columns="[sexe]"), "columns", "no static column named 'sexe'"),
    (table(columns="[note]"), "columns", "no static column named 'note'"),
    (table(columns="[again]", counts="[1]", levels="{again: [[0, 120]]}"), "known", "a copy of"),
    (table(columns="[sex, sex]"), "columns", "listed twice"),
    (table(columns="[]"), "columns", "one to 3"),
    (table(columns="[organ, sex, stage, age]"), "columns", "one to 3"),
    (table(columns="sex"), "columns", "must be a list"),
    (table(columns=""), "known.0", "'columns' is missing"),
    (table(counts="{F: 1, X: 3}"), "counts.X", "'X' is no value of sex"),
    (table(counts="{F: 1, null: 3}"), "counts.None", "never missing"),
    (table(counts="{F: 1, true: 3}"), "counts.True", "put it in quotes"),
    (table(counts="[1, 3]"), "known.0", "levels of sex are missing"),
    (table(counts="{F: 0, M: 0}"), "counts", "all 0"),
    (table(counts="{F: 1, M: -1}"), "counts.M", "below 0"),
    (table(counts="{F: 1, M: many}"), "counts.M", "must be a number"),
    (table(counts="{F: 1, M: .nan}"), "counts.M", "must be a number"),
    (table(counts="{F: 1, M: .inf}"), "counts.M", "must be a number"),
    (table(counts="{F: 1, M: [1]}"), "counts.M", "must be a number"),
    (table(counts="{}"), "counts", "at least one level"),
    (table(counts=""), "known.0", "levels of sex are missing"),
    (table(levels="{sex: [F, M]}", counts="[1, 2, 3]"), "counts", "must have 2, has 3"),
    (table(levels="{sex: [F, M]}", counts="{F: 1}"), "counts", "no count for the level M"),
    (table(levels="{sex: [F, M]}", counts="{F: 1, M: 1, X: 2}"), "counts.X", "no level here"),
    (table(levels="{sex: [F, M]}", counts="7"), "counts", "must be a list"),
    (table(levels="{sex: [F, [M, F]]}", counts="[1, 2]"), "levels.sex", "F: in two levels"),
    (table(levels="{sex: [F, []]}", counts="[1, 2]"), "levels.sex.1", "without values"),
    (table(levels="{sex: [F, {a: M}]}", counts="[1, 2]"), "levels.sex.1", "no value of sex"),
    (table(levels="{sex: F}", counts="[1]"), "levels.sex", "must be a list of levels"),
    (table(levels="{sex: [F, M], age: [[0, 9]]}"), "levels.age", "none of the table's"),
    (table(levels="[F, M]"), "levels", "must be a mapping"),
    (
        table(columns="[organ, sex]", levels="{sex: [F, M]}", counts="{skin: [1, 2], eye: [1]}"),
        "counts.eye",
        "must have 2, has 1",
    ),
    (table(source=""), "known.0", "'source' is missing"),
    (table(source="' '"), "source", "is empty"),
    (table(year=""), "known.0", "'year' is missing"),
    (table(year="2017"), "year", "put it in quotes"),
    (table(weight=""), "known.0", "'weight' is missing"),
    (table(weight="0"), "weight", "above 0"),
    (table(weight="-5"), "weight", "above 0"),
    (table(weight="'100'"), "weight", "must be a number"),
    (table(name="../x"), "name", "is no name here"),
    (table(note="{}"), "known.0.note", "is not a field"),
    ("{from: nowhere.stages}", "from", "no file 'nowhere'"),
    ("{from: [a]}", "from", "no file"),
    ("{from: nowhere.stages, year: '2001'}", "year", "leave it out"),
    ("[a]", "known.0", "must be a mapping"),
]  # fmt: skip
RANGES = [
    ("[[0, 49], [49, 120]]", "overlap"),
    ("[[0, 49], [10, 20]]", "overlap"),
    ("[[0, 49], [50, 121]]", "passes the bounds"),
    ("[[-1, 49], [50, 120]]", "passes the bounds"),
    ("[[49, 0], [50, 120]]", "ends before it begins"),
    ("[[0], [50, 120]]", "must be [lowest, highest]"),
    ("[0, [50, 120]]", "must be [lowest, highest]"),
    ("[[0, x], [50, 120]]", "must be a number"),
    ("[[0, 49], null]", "never missing"),
]


@pytest.mark.parametrize(("entry", "field", "what"), REFUSED, ids=[r[1] + r[2] for r in REFUSED])
def test_a_mistake_is_refused_with_line_and_field(
    tmp_path: Path, entry: str, field: str, what: str
) -> None:
    told = problems(tmp_path, with_tables(entry))
    found = [line for line in told if field in line and what in line]
    assert found and found[0].startswith("toy.yaml:"), told


@pytest.mark.parametrize(("levels", "what"), RANGES)
def test_ranges_lie_apart_and_within_the_bounds(tmp_path: Path, levels: str, what: str) -> None:
    entry = table(columns="[age]", levels=f"{{age: {levels}}}", counts="[1, 2]")
    told = problems(tmp_path, with_tables(entry))
    assert any("levels.age" in line and what in line for line in told), told


def test_two_tables_have_two_names(tmp_path: Path) -> None:
    told = problems(tmp_path, with_tables(table(), table(counts="{F: 1, M: 1}")))
    assert len(told) == 1 and "a second table named 'one'" in told[0]


def test_a_count_that_nobody_can_have_is_a_warning(tmp_path: Path) -> None:
    _, warnings = read(tmp_path, TOY.replace("womb: [10, 0]", "womb: [10, 1]"))
    assert len(warnings) == 1 and "womb of organ has a count with M of sex" in warnings[0]
    # a level that holds more than the forbidden value may be counted, and in any order of columns
    text = TOY.replace("womb: [10, 0]", "eye: [10, 1]").replace("lung: [", "womb: [")
    assert len(read(tmp_path, text)[1]) == 1
    for levels, n_warnings in (("[[womb, eye], lung]", 0), ("[womb, lung]", 1)):
        entry = table(
            columns="[sex, organ]", levels=f"{{organ: {levels}}}", counts="{F: [1, 1], M: [1, 1]}"
        )
        assert len(read(tmp_path, with_tables(entry))[1]) == n_warnings


@pytest.mark.parametrize(
    ("related", "what"),
    [
        ("[[organ, sexe]]", "no static column named 'sexe'"),
        ("[[organ]]", "at least two"),
        ("[[organ, organ]]", "listed twice"),
        ("[[organ, sex, stage, age]]", "at most 3"),
        ("[[organ, sex], [sex, organ]]", "named twice"),
        ("[[organ, again]]", "a copy of age"),
        ("[[organ, note]]", "no static column named 'note'"),
        ("organ", "must be a list"),
    ],
)
def test_related_columns_are_checked(tmp_path: Path, related: str, what: str) -> None:
    text = TOY.replace("[[organ, sex], [organ, stage, age]]", related)
    assert any("related" in line and what in line for line in problems(tmp_path, text))


def test_whatever_the_tables_hold_they_are_read_or_refused(tmp_path: Path) -> None:
    """Fixed seed: changes among the tables and relations alone."""
    path, refusals = tmp_path / "toy.yaml", 0
    path.write_text(dedent(TOY), encoding="utf-8")
    whole, rng = document.read(path).value, random.Random(16)
    for _ in range(300):
        part = mutation({name: whole[name] for name in ("known", "related")}, rng)
        rest = {name: value for name, value in whole.items() if name not in ("known", "related")}
        document.dump(rest | part, path)
        try:
            schema, _ = read_schema_with_warnings(path)
            for known in schema.known:
                assert sum(known.shares) == pytest.approx(1)
        except DeclarationError as error:
            assert all(problem.count(":") >= 3 for problem in error.problems)
            refusals += 1
    assert 75 < refusals < 300
