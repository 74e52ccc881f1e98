"""docs/declarations.md names every field, list and relation that a declaration may use."""

from dataclasses import fields

import pytest
from extracts import ROOT

from pipeline.schema import code_relations
from pipeline.schema.values import (
    Column,
    Deadline,
    EventLog,
    EventSource,
    EventType,
    Exclusion,
    Implication,
    LegalCodes,
    Population,
    Schema,
    Table,
    Window,
)

TEXT = (ROOT / "docs" / "declarations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "value",
    [
        Schema,
        Population,
        Table,
        Column,
        Implication,
        EventLog,
        EventType,
        LegalCodes,
        Exclusion,
        Deadline,
        Window,
        EventSource,
    ],
)
def test_every_field_is_explained(value):
    missing = [
        field.name for field in fields(value) if field.name != "name" and field.name not in TEXT
    ]
    assert not missing, f"docs/declarations.md says nothing of {value.__name__}.{missing}"


def test_every_shared_list_and_relation_is_named():
    missing = [
        name
        for name in (*code_relations._CATEGORIES, *code_relations._RELATIONS)
        if f"`{name}`" not in TEXT
    ]
    assert not missing
