"""Nothing becomes visible that the ledger does not hold as reserved or released."""

from __future__ import annotations

import dataclasses

import pytest

from pipeline import files, params
from pipeline.catalog import Home, Workspace, project_root
from pipeline.cli.ledger import ensure_population
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger
from pipeline.released import manifest, publish
from pipeline.runs import chain_heads, version_stores
from pipeline.schema.reader import read_schema

PUBLIC = read_schema(project_root() / "datasets" / "adult.yaml")


@pytest.fixture
def assembled(home: Home, tmp_path) -> Workspace:
    """A release that is approved and put together."""
    made = Workspace(tmp_path / "run")
    files.write_json(made.restricted.approval, {"approved": True})
    files.write_json(made.released.release.model / "model.json", {})
    manifest.write(made.released.release.root, {"release_id": "adult-1"})
    ensure_population(home, PUBLIC)
    return made


def publish_it(assembled: Workspace) -> None:
    settings = params.load(Home.find().params)
    release = dataclasses.replace(
        settings.release, id="adult-1", dataset="adult", source_label="first"
    )
    publish.run(assembled, dataclasses.replace(settings, release=release), PUBLIC)


def trained(ledger: Ledger, assembled: Workspace) -> None:
    ledger.begin_training("adult-1", "tests", "token")
    ledger.note_model("adult-1", "tests", files.folder_sha256(assembled.released.release.model))


@pytest.mark.parametrize("state", ["not charged", "abandoned"])
def test_what_the_ledger_does_not_hold_is_not_tagged(home, assembled, state):
    ledger = Ledger(home.ledger)
    if state == "abandoned":
        ledger.reserve(
            "adult-1", "adult", DiscreteGaussianDpEvent(100.0), by="tests", source_label="first"
        )
        ledger.abandon("adult-1", "refused", "custodian")
    with pytest.raises(
        ValueError, match=f"adult-1 is {state} in the ledger, so nothing was published"
    ):
        publish_it(assembled)
    assert (
        not version_stores.is_tagged(home.released_store, "adult-1") and not home.published.exists()
    )


@pytest.mark.parametrize("state", ["reserved", "released"])
def test_what_it_holds_goes_on_to_the_tag(home, assembled, state, monkeypatch):
    class Tagging(Exception):
        pass

    def tag(*_):
        raise Tagging

    ledger = Ledger(home.ledger)
    ledger.reserve(
        "adult-1", "adult", DiscreteGaussianDpEvent(100.0), by="tests", source_label="first"
    )
    trained(ledger, assembled)
    if state == "released":
        ledger.commit("adult-1")
    monkeypatch.setattr(publish, "_tag", tag)
    with pytest.raises(Tagging):
        publish_it(assembled)


@pytest.mark.parametrize("fault", ["no model noted", "another model", "one file more"])
def test_no_other_model_than_the_one_that_was_trained_is_tagged(home, assembled, fault):
    ledger, model = Ledger(home.ledger), assembled.released.release.model
    ledger.reserve(
        "adult-1", "adult", DiscreteGaussianDpEvent(100.0), by="tests", source_label="first"
    )
    if fault != "no model noted":
        trained(ledger, assembled)
        files.write_json(model / ("model.json" if fault == "another model" else "more.json"), [1])
        manifest.write(assembled.released.release.root, {"release_id": "adult-1"})
    with pytest.raises(ValueError, match="run the stage train again"):
        publish_it(assembled)
    assert not version_stores.is_tagged(home.released_store, "adult-1")


def test_the_seed_of_the_charge_is_the_seed_of_the_extract(home, assembled):
    ledger = Ledger(home.ledger)
    ledger.reserve(
        "adult-1",
        "adult",
        DiscreteGaussianDpEvent(100.0),
        by="tests",
        source_label="first",
        seed=77,
    )
    trained(ledger, assembled)
    with pytest.raises(ValueError, match=r"with the seed 77, and params\.yaml says 1"):
        publish_it(assembled)


def test_the_head_after_publishing_is_noted(home, assembled, monkeypatch):
    ledger = Ledger(home.ledger)
    ledger.reserve(
        "adult-1", "adult", DiscreteGaussianDpEvent(100.0), by="tests", source_label="first"
    )
    trained(ledger, assembled)
    for name in ("_tag", "_copy"):
        monkeypatch.setattr(publish, name, lambda *_: None)
    monkeypatch.setattr(publish.tracking, "publish_model", lambda *_: None)
    publish_it(assembled)
    assert ledger.state("adult-1") == "released"
    assert chain_heads.notes(home) == {"the note of adult-1": ledger.chain_head()}
