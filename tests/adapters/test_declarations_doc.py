"""docs/declarations.md names every field, list and relation that a declaration may use."""

from dataclasses import fields
from textwrap import dedent

import pytest
from extracts import ROOT
from log_cases import ID as LOG_ID
from log_cases import declaration, declared

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


def test_the_example_of_a_log_is_a_good_one(tmp_path):
    """With the tables that it names and the types that it speaks of."""
    example = TEXT.split("#### Where a log finds its events\n")[1].split("\n\n")[0]
    months = "{kind: continuous, lower: 0, upper: 120, nullable: true, source: tests}"
    statuses = "{kind: categorical, categories: [dead, alive], source: tests}"
    tables = {
        "diagnoses": ("month: " + months.replace("0, u", "-24, u"), f"site: {statuses}"),
        "treatments": (f"begin: {months}", f"end: {months}", f"drug: {statuses}"),
        "comorbidities": (f"name: {statuses}",),
    }
    text = declaration(
        f"death_month: {months}\ncontact_month: {months}\nvital: {statuses}",
        "\n".join(
            f"{name}:\n  file: {name}\n  patient: id\n  columns:\n    {LOG_ID}\n    "
            + "\n    ".join(columns)
            for name, columns in tables.items()
        ),
        "anchor: null\nmax_events: 9\nfirst: []\n"
        + dedent(example)
        + "\ntypes:\n"
        + "".join(
            f"  {name}: {{{what}}}\n"
            for name, what in (
                ("DIAGNOSIS", "codes: [dead, alive]"),
                ("COMORBIDITY", "codes: [dead, alive]"),
                ("DRUG_END", "closes: DRUG"),
                ("DRUG", "codes: [dead, alive]"),
                ("DEATH", "terminal: true"),
                ("ALIVE", "terminal: true"),
            )
        ),
    )
    log = declared(tmp_path, text).events
    assert log is not None and [len(log.rows), len(log.ending)] == [3, 2]
