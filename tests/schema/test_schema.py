"""Declarations: what a mistake says, and what a good one becomes."""

from pathlib import Path
from textwrap import dedent

import pytest

from pipeline.schema.document import DeclarationError
from pipeline.schema.reader import read_schema

GOOD = """
    dataset: toy
    title: A toy
    source: written for a test
    public: true
    layout: table
    population: {name: toy, universe: nobody, kind: public, nominal_size: 1000, epsilon: 10, delta: 1.0e-6, ceiling_epsilon: 20}
    tables:
      toy:
        file: toy
        columns:
          sex: {kind: categorical, categories: [F, M]}
          age: {kind: continuous, lower: 0, upper: 120}
          born: {kind: date, lower: 1900-01-01, upper: 2020-12-31}
          note: {kind: text, role: carried, nullable: true}
    implications:
      - {given: sex, then: age, allowed: {}}
    """


def write(folder: Path, text: str, name: str = "toy") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> str:
    with pytest.raises(DeclarationError) as caught:
        read_schema(write(folder, text))
    return str(caught.value)


def test_a_good_declaration_becomes_values(tmp_path):
    toy = read_schema(write(tmp_path, GOOD))
    assert list(toy.patients) == ["sex", "age", "born"]
    assert toy.patients["sex"].categories == ("F", "M")
    assert toy.patients["born"].upper == 18627  # days from 1970-01-01 to 2020-12-31
    assert toy.events is None
    with pytest.raises(AttributeError):
        toy.title = "changed"
    with pytest.raises(TypeError):
        toy.patients["more"] = toy.patients["sex"]


def test_every_mistake_is_named_at_once_with_its_line(tmp_path):
    text = (
        GOOD.replace("kind: continuous, lower: 0", "kind: continous, lower: 130")
        .replace("[F, M]", "[F, F, yes]")
        .replace("delta: 1.0e-6", "delta: 1.0e-3")
        .replace("{given: sex", "{given: seks")
        .replace("title: A toy", "titel: A toy")
    )
    said = problems(tmp_path, text)
    for place, field, what in [
        ("toy.yaml:3", "titel", "is not a field"),
        ("toy.yaml:7", "population.delta", "at most 1e-06"),
        ("toy.yaml:12", "categories", "listed twice: F"),
        ("toy.yaml:13", "kind", "'continous' is none of"),
        ("toy.yaml:13", "age", "lower 130 is not below upper 120"),
        ("toy.yaml:17", "given", "no static column named 'seks'"),
        ("toy.yaml", "(top)", "'title' is missing"),
    ]:
        assert any(
            place in line and field in line and what in line for line in said.splitlines()
        ), (place, field, what, said)


def test_yaml_that_reads_yes_as_a_boolean_is_caught(tmp_path):
    assert "put it in quotes" in problems(tmp_path, GOOD.replace("[F, M]", "[F, true]"))


def test_broken_yaml_and_missing_file_are_one_line(tmp_path):
    assert "toy.yaml:3" in problems(tmp_path, "dataset: toy\ntitle: x\n  bad: [indent\n")
    with pytest.raises(DeclarationError, match="no such declaration"):
        read_schema(tmp_path / "absent.yaml")


def test_extends_takes_the_parent_and_overrides_field_by_field(tmp_path):
    write(tmp_path, GOOD)
    child = write(
        tmp_path,
        "extends: toy\ndataset: child\npopulation: {name: child, nominal_size: 50}\n",
        "child",
    )
    loaded = read_schema(child)
    assert (
        loaded.dataset,
        loaded.population.name,
        loaded.population.nominal_size,
        loaded.population.epsilon,
    ) == ("child", "child", 50, 10)
    assert list(loaded.patients) == ["sex", "age", "born"]


def test_a_parent_is_declared_before_what_it_implies(tmp_path):
    text = GOOD.replace(
        "{given: sex, then: age, allowed: {}}", "{given: age, then: sex, allowed: {}}"
    )
    assert "must be declared before" in problems(tmp_path, text)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].glob("datasets/*.yaml")), ids=lambda path: path.stem
)
def test_the_shipped_declarations_are_sound(path):
    loaded = read_schema(path)
    assert loaded.dataset == path.stem
    assert loaded.public == (loaded.dataset != "cancer_pathways")


EVENTS = (
    GOOD.replace("layout: table", "layout: registry")
    .replace("file: toy\n", "file: toy\n        patient: id\n")
    .replace("columns:\n", "columns:\n          id: {kind: id, role: key}\n")
    .replace(
        "    implications:",
        """    patients:
      columns:
        sex: {like: toy.sex}
        age: {like: toy.age}
        born: {like: toy.born}
    implications:""",
    )
).replace(
    "    implications:",
    """    events:
      origin: born
      anchor: null
      max_events: 9
      first: [VISIT]
      types:
        VISIT: {codes: [a, b], distinct_codes: true, until: 2019-12-31}
        END: {codes: [seen, lost], terminal: true}
      observation_end: [END, seen]
      treatments: [VISIT]
      counted:
        - {parts: [sex, length]}
        - {parts: [first VISIT], weight: 2.5}
    implications:""",
)


def test_what_the_pathway_model_is_to_count_is_read(tmp_path):
    log = read_schema(write(tmp_path, EVENTS)).events
    assert [(table.parts, table.weight) for table in log.counted] == [
        (("sex", "length"), 1.0),
        (("first VISIT",), 2.5),
    ]
    assert (
        log.treatments == ("VISIT",)
        and log.types["VISIT"].distinct_codes
        and log.types["VISIT"].until.year == 2019
    )


def test_mistakes_in_events_are_named(tmp_path):
    text = (
        EVENTS.replace("weight: 2.5", "weight: 0")
        .replace("[sex, length]", "[sex, sex]")
        .replace("until: 2019-12-31", "until: soon")
        .replace("[END, seen]", "[VISIT, a]")
        .replace("treatments: [VISIT]", "treatments: [SURGERY]")
    )
    said = problems(tmp_path, text)
    for field, what in [
        ("weight", "above 0"),
        ("parts", "each once"),
        ("until", "ISO date"),
        ("observation_end", "terminal type"),
        ("treatments", "no event type named 'SURGERY'"),
    ]:
        assert any(field in line and what in line for line in said.splitlines()), (field, said)


@pytest.mark.parametrize(
    "path",
    sorted((Path(__file__).parents[2] / "datasets").glob("*.yaml")),
    ids=lambda path: path.stem,
)
def test_every_column_of_a_dataset_is_described(path: Path) -> None:
    """The dictionary of an extract has a sentence per column."""
    schema = read_schema(path)
    bare = [
        f"{table.name}.{column.name}"
        for table in schema.tables.values()
        for column in table.columns.values()
        if not column.description
    ]
    assert not bare
