"""The card says what the guarantee does not cover, of every dataset alike: found or not, nothing
depends on rows.
"""

from pathlib import Path

import pytest

from pipeline.released import card
from pipeline.released.card_limits import ModelFacts, limits
from pipeline.schema.reader import read_schema

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
    few, many = limits(schema, nominal // 10), limits(schema, nominal)
    assert f"about {nominal // 10:,} patients (a noisy count)" in few[0]
    assert few[1:] == many == limits(schema, None)
