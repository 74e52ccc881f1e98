"""Titles of columns and events, labels of codes."""

from pathlib import Path

import pytest

from pipeline.models.declaration import schema_from_plain, to_plain
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Column
from pipeline.schema.words import column_title, event_title, in_words, label, labels

DATASETS = Path(__file__).parents[2] / "datasets"


@pytest.mark.parametrize("path", sorted(DATASETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_modelled_column_has_a_title(path: Path) -> None:
    columns = read_schema(path).patients
    assert [name for name, column in columns.items() if not column.title] == []
    titles = [column_title(column) for column in columns.values()]
    assert len(set(titles)) == len(titles)


def test_names_and_codes_in_words() -> None:
    schema = read_schema(DATASETS / "simulated_pathways.yaml")
    assert column_title(schema.patients["STAGE_BEST"]) == "Stage at diagnosis"
    assert label(schema.patients["SITE_ICD10_O2_3CHAR"], "C50") == "Breast"
    assert label(schema.patients["STAGE_GROUP"], "4") == "Stage 4"
    assert label(schema.patients["STAGE_GROUP"], None) == "Missing"
    assert schema.events is not None
    assert event_title(schema.events, "SACT_REGIMEN") == "Drug regimen"
    assert event_title(schema.events, "NOT_THERE") == "Not there"


def test_a_label_that_codes_share_bears_the_code() -> None:
    column = Column(name="s", kind="categorical", categories=("1A", "1B", "X"), lookup="stage")
    assert list(labels(column).values()) == ["Stage 1 (1A)", "Stage 1 (1B)", "Not staged"]


def test_a_name_without_a_title_is_read_as_words() -> None:
    assert in_words("HEIGHT_AT_START") == "Height at start"
    assert in_words("capital_gain") == "Capital gain"
    assert in_words("HER2") == "HER2"
    assert column_title(Column(name="hours_per_week", kind="continuous")) == "Hours per week"


def test_a_model_of_before_titles_still_loads() -> None:
    schema = read_schema(DATASETS / "simulated_pathways.yaml")
    plain = to_plain(schema)
    assert schema_from_plain(plain) == schema
    assert plain["patients"]["AGE"].pop("title") == "Age at diagnosis"
    assert plain["events"]["types"]["SURGERY"].pop("title") == "Surgery"
    old = schema_from_plain(plain)
    assert old.patients["AGE"].title is None and column_title(old.patients["AGE"]) == "AGE"
