"""What was read from rows is refused until a person has replaced it; what may be learned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.schema.document import DeclarationError
from pipeline.schema.reader import read_schema, read_schema_with_warnings
from pipeline.schema.review import LEARN_LOWER, LEARN_UPPER, PUBLIC_ROWS
from pipeline.schema.values import Schema

DECLARATION = """\
dataset: clinic
title: Clinic
source: protocol
public: true
layout: log
population: {name: clinic, universe: people, kind: public, nominal_size: 1000, epsilon: 5.0,
  delta: 1.0e-6, ceiling_epsilon: 5.0}
tables:
  people:
    file: people
    patient: id
    key: [id]
    columns:
      id: {kind: id, role: key}
      entry: {kind: date, lower: 2018-01-01, upper: 2020-12-31, source: protocol}
      sex: {kind: categorical, categories: [F, M], source: protocol}
      score: {kind: continuous, lower: 0, upper: 9, decimals: 1, source: protocol}
  visits:
    file: visits
    patient: id
    columns:
      id: {kind: id, role: key}
      seen: {kind: date, lower: 2018-01-01, upper: 2021-12-31, source: protocol}
      review: &review {kind: categorical, categories: [good, bad], source: protocol}
patients:
  columns:
    entry: {like: people.entry}
    sex: {like: people.sex}
    score: {like: people.score}
events:
  origin: entry
  anchor: null
  max_events: 20
  first: [VISIT]
  upper_day: 1500
  rows: {table: visits, date: seen, constant: VISIT}
  types:
    VISIT: {attributes: [review]}
    END: {terminal: true, at_most: 1}
  attributes:
    review: *review
"""


def read(folder: Path, old: str = "", new: str = "") -> Schema:
    assert old in DECLARATION
    path = folder / "clinic.yaml"
    path.write_text(DECLARATION.replace(old, new, 1) if old else DECLARATION, encoding="utf-8")
    return read_schema(path)


def faults(folder: Path, old: str, new: str) -> tuple[str, ...]:
    with pytest.raises(DeclarationError) as refused:
        read(folder, old, new)
    return refused.value.problems


def test_a_column_may_be_called_review(tmp_path: Path) -> None:
    schema = read(tmp_path)
    assert "review" in schema.tables["visits"].columns and schema.events is not None
    assert "review" in schema.events.attributes


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (
            "categories: [F, M], source: protocol",
            "review: {categories: [F, M]}",
            "people.columns.sex",
        ),
        ("lower: 0, upper: 9, decimals: 1", "review: {lower: 0, decimals: 1}", "columns.score"),
        ("    file: people\n", "    file: people\n    review: {key: [id]}\n", "tables.people"),
        ("nominal_size: 1000", "review: {nominal_size: 812}", "population"),
        ("  max_events: 20\n", "  review: {max_events: 20}\n", "events"),
        ("{terminal: true, at_most: 1}", "{terminal: true, review: {codes: [a]}}", "types.END"),
        ("constant: VISIT}", "review: {constant: VISIT}}", "events.rows"),
        ("{like: people.sex}", "{like: people.sex, review: {nullable: true}}", "patients.columns"),
        ("{kind: categorical, categories: [good, bad]", "{kind: categorical, review: {}", "review"),
        ("title: Clinic", "title: Clinic\nreview: {targets: [sex]}", "review"),
    ],
)
def test_whatever_is_marked_is_refused_by_its_line_and_nothing_else_is_told(
    tmp_path: Path, old: str, new: str, place: str
) -> None:
    told = faults(tmp_path, old, new)
    lines = (tmp_path / "clinic.yaml").read_text(encoding="utf-8").splitlines()
    marks = [n for n, line in enumerate(lines, 1) if re.search(r"\breview: \{(?!kind)", line)]
    assert len(told) == len(marks) == 1
    assert told[0].startswith(f"clinic.yaml:{marks[0]}: ") and place in told[0]


def test_the_range_of_a_number_may_be_learned(tmp_path: Path) -> None:
    score = read(tmp_path, "lower: 0, upper: 9, decimals: 1, source: protocol",
                 "learn: true, decimals: 1").patients["score"]  # fmt: skip
    assert (score.lower, score.upper, score.transform) == (LEARN_LOWER, LEARN_UPPER, "asinh")
    assert score.learn and score.source is not None
    _, warnings = read_schema_with_warnings(tmp_path / "clinic.yaml")
    assert not any("score" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lower: 0, upper: 9, decimals: 1", "learn: true", "decimals"),
        ("lower: 0, upper: 9", "learn: true, lower: 0", "goes with no"),
        ("categories: [F, M], source", "learn: true, source", "categories cannot be learned"),
        ("lower: 2018-01-01, upper: 2020-12-31", "learn: true", "years of the study"),
        ("{kind: categorical, categories: [good, bad]",
         "{kind: continuous, decimals: 0, learn: true", "needs lower and upper"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_says_what_else_to_do(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert any(words in fault for fault in faults(tmp_path, old, new))


def test_rows_are_a_source_only_where_they_are_published(tmp_path: Path) -> None:
    cited = f'source: "{PUBLIC_ROWS}: a journal"'
    read(tmp_path, "source: protocol}\n      score", cited + "}\n      score")
    path = tmp_path / "clinic.yaml"
    path.write_text(
        path.read_text(encoding="utf-8")
        .replace("public: true", "public: false")
        .replace("kind: public", "kind: confidential"),
        encoding="utf-8",
    )
    with pytest.raises(DeclarationError, match="published rows alone"):
        read_schema(path)
