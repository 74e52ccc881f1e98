"""The card says what the guarantee does not cover, of every dataset alike: found or not, nothing
depends on rows.
"""

import csv
from pathlib import Path
from typing import Any

import pytest

from pipeline.released import card
from pipeline.released.card_limits import ModelFacts, limits
from pipeline.released.dictionary import write_dictionary
from pipeline.released.membership import Share, membership_facts
from pipeline.schema.reader import read_schema
from pipeline.schema.values import KnownTable, Level

DATASETS = sorted((Path(__file__).resolve().parents[2] / "datasets").glob("*.yaml"))


@pytest.mark.parametrize("path", DATASETS, ids=lambda path: path.stem)
def test_every_card_says_what_weakens_the_unit(path: Path) -> None:
    told = card.facts(
        read_schema(path),
        release_id="one-1",
        source_label="first",
        rows=10,
        extract_date=None,
        code_version="0",
        privacy={},
        approval={"self_approved": True},
        drawn_from=None,
        model=ModelFacts(),
    )
    for said in (
        "two ids",
        "a key that two patients of the source share",
        "not independent",
        "refusal",
    ):
        assert any(said in item for item in told["not_covered"]), said


@pytest.mark.parametrize("path", DATASETS, ids=lambda path: path.stem)
def test_a_card_says_where_few_patients_are_left(path: Path) -> None:
    """By the noisy count, against the public nominal size; nothing else is known of them."""
    schema = read_schema(path)
    nominal = schema.population.nominal_size
    few, many, unknown = (
        limits(schema, ModelFacts(noisy_size=size)) for size in (nominal // 10, nominal, None)
    )
    assert f"about {nominal // 10:,} patients (a noisy count)" in few[0]
    assert few[1:] == many == unknown


def told_of(known: tuple[KnownTable, ...]) -> dict[str, Any]:
    privacy = {
        "unit": "one patient", "epsilon": 1.0, "delta": 1e-6, "neighbours": "add or remove",
        "mechanisms": [], "population": "toy", "universe": "nobody", "share_spent": 0.1,
        "epsilon_total": 10.0, "epsilon_opened": 10.0, "epsilon_ceiling": 20.0, "cohorts": [],
        "overlapping_populations": [], "epsilon_total_of_overlapping": 10.0,
        "epsilon_ceiling_of_overlapping": 20.0, "delta_total_of_overlapping": 1e-6,
        "charge": 1, "log_entry": 1, "chain_head": "0",
        "membership": membership_facts(
            [Share(population="toy", charges=1, order=4, rdp=0.1, rdp_ceiling=6.0)]
        ),
    }  # fmt: skip
    return card.facts(
        read_schema(DATASETS[0]),
        release_id="one-1",
        source_label="first",
        rows=10,
        extract_date=None,
        code_version="0",
        privacy=privacy,
        approval={"self_approved": True},
        drawn_from=None,
        model=ModelFacts(published=known),
    )


def test_a_card_names_what_was_known_beforehand(tmp_path: Path) -> None:
    tables = tuple(
        KnownTable(
            name=name,
            columns=columns,
            levels=tuple((Level(values=("a",)),) for _ in columns),
            shares=(1.0,),
            source=f"Yearbook, table {name}",
            year="2013 to 2017",
            weight=1500,
        )
        for name, columns in (("ages", ("AGE",)), ("ages_by_sex", ("AGE", "sex")))
    )
    told = told_of(tables)
    assert [one["name"] for one in told["known"]] == ["ages", "ages_by_sex"]
    assert set(told["known"][0]) == {"name", "columns", "year", "source", "weight"}
    page = card.markdown(told)
    assert "`ages_by_sex` (AGE, sex; 2013 to 2017; worth 1,500 patients at most): Yearb" in page
    assert "no evidence" in page
    assert "What was known" not in card.markdown(told_of(()))
    registry = read_schema(next(path for path in DATASETS if path.stem == "cancer_pathways"))
    write_dictionary(registry, tmp_path / "dictionary.csv", tables)
    with (tmp_path / "dictionary.csv").open(newline="") as file:
        named = {row["column"]: row["known_tables"] for row in csv.DictReader(file)}
    assert named["AGE"] == "ages; ages_by_sex" and named["GRADE"] == ""


def test_the_page_names_the_engine() -> None:
    """A model of before engines had names is a mixture."""
    assert "Static columns come from: mixture of noisy marginals." in card.markdown(told_of(()))
