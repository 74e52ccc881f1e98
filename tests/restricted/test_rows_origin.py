"""Whose rows ingest read is noted beside them; reserve and train refuse a workspace that says
something else by then, and no card is put together for others than were charged.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable

import polars as pl
import pytest
from account_cases import write_account
from charged_cases import Killed, declared, killed, run_train, settings

from pipeline import files
from pipeline.catalog import Home, Workspace
from pipeline.ledger import Ledger
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.released import publish, sample
from pipeline.restricted import confirm, reserve, train
from pipeline.restricted.ingest import origin
from pipeline.schema.values import Schema


def relabelled(**changes: object) -> Params:
    given = settings()
    return dataclasses.replace(given, release=dataclasses.replace(given.release, **changes))


def renamed(workspace: Workspace) -> Schema:
    schema = declared(workspace)
    population = dataclasses.replace(schema.population, name="another")
    return dataclasses.replace(schema, population=population)


def charged_label() -> str | None:
    reservation = Ledger(Home.find().ledger).reservation("toy-1")
    return None if reservation is None else reservation.source_label


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source_label": "second"}, "release.source_label in params.yaml ('first', now 'second')"),
        ({"source": "/elsewhere"}, "release.source in params.yaml"),
    ],
)
def test_settings_changed_since_ingest_are_refused_before_the_charge_and_after(
    workspace: Workspace, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(Refusal, match="since ingest read the rows") as refusal:
        reserve.run(workspace, relabelled(**changes), declared(workspace))
    assert said in str(refusal.value) and charged_label() is None
    reserve.run(workspace, settings(), declared(workspace))
    with pytest.raises(Refusal, match="since ingest read the rows"):
        train.run(workspace, relabelled(**changes), declared(workspace))
    run_train(workspace)


def test_rows_of_another_source_under_the_same_label_are_refused_once_training_began(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ingest and reserve ran again between two attempts: both now say the second source."""
    reserve.run(workspace, settings(), declared(workspace))
    with monkeypatch.context() as patch:
        patch.setattr(train, "fit", killed)
        with pytest.raises(Killed):
            run_train(workspace)
    first, kept = relabelled(), workspace.restricted.data.with_name("kept")
    shutil.copytree(workspace.restricted.data, kept)
    other = relabelled(source="/elsewhere")
    patients = pl.read_parquet(workspace.restricted.patients)
    patients.head(60).write_parquet(workspace.restricted.patients)
    write_account(workspace.restricted, of=origin.origin_of(declared(workspace), other.release))
    for stage in (confirm, reserve):
        stage.run(workspace, other, declared(workspace))
    with pytest.raises(Refusal, match="training began on other rows"):
        train.run(workspace, other, declared(workspace))
    assert not workspace.released.model.exists()
    shutil.rmtree(workspace.restricted.data)
    kept.rename(workspace.restricted.data)
    for stage in (confirm, reserve, train):
        stage.run(workspace, first, declared(workspace))
    assert Ledger(Home.find().ledger).trained_model("toy-1") is not None


def test_another_population_is_refused(workspace: Workspace) -> None:
    facts = declared(workspace).population
    Ledger(Home.find().ledger).open_population(
        "another",
        universe=facts.universe,
        nominal_size=facts.nominal_size,
        epsilon=facts.epsilon,
        delta=facts.delta,
        ceiling_epsilon=facts.ceiling_epsilon,
        kind=facts.kind,
        reason="tests",
        by="tests",
    )
    with pytest.raises(Refusal, match=r"population\.name in dataset\.yaml \('toy', now 'another'"):
        reserve.run(workspace, settings(), renamed(workspace))
    assert charged_label() is None


def test_a_declaration_that_says_otherwise_of_the_rows_is_refused(workspace: Workspace) -> None:
    other = dataclasses.replace(declared(workspace), title="Other visits")
    with pytest.raises(Refusal, match=r"dataset\.yaml \(it says something else\)"):
        reserve.run(workspace, settings(), other)


def test_rows_of_an_ingest_that_noted_nothing_are_refused(workspace: Workspace) -> None:
    report = files.read_json(workspace.restricted.ingest_report)
    del report[origin.KEY]
    files.write_json(workspace.restricted.ingest_report, report)
    confirm.run(workspace, settings(), declared(workspace))
    with pytest.raises(Refusal, match="run the stage ingest again"):
        reserve.run(workspace, settings(), declared(workspace))
    assert charged_label() is None


def test_training_without_rows_gives_out_a_finished_model_only(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    data = workspace.restricted.data
    shutil.move(data, data.with_name("away"))
    with pytest.raises(Refusal, match="no rows in this workspace: run ingest first"):
        run_train(workspace)
    shutil.move(data.with_name("away"), data)
    run_train(workspace)
    shutil.rmtree(data)
    shutil.rmtree(workspace.released.model)
    run_train(workspace)
    assert workspace.released.model.is_dir()


@pytest.mark.parametrize("ask", [sample.run, publish.run])
def test_an_extract_and_a_card_say_whose_rows_were_charged(
    workspace: Workspace, ask: Callable[[Workspace, Params, Schema], None]
) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    run_train(workspace)
    files.write_json(workspace.restricted.approval, {"approved": True})
    with pytest.raises(Refusal, match="says 'second', and the charge 'first'"):
        ask(workspace, relabelled(source_label="second"), declared(workspace))
    with pytest.raises(Refusal, match="says 'another', and the charge 'toy'"):
        ask(workspace, settings(), renamed(workspace))
    with pytest.raises(Refusal, match="toy-0 is not charged in the ledger"):
        ask(workspace, relabelled(drawn_from="toy-0"), declared(workspace))
    ledger = Ledger(Home.find().ledger)
    ledger.commit("toy-1")
    (workspace.released.model / "another.txt").write_text("another model")
    with pytest.raises(Refusal, match="is not that of toy-1, whose charge the card would cite"):
        ask(workspace, relabelled(id="toy-2", drawn_from="toy-1"), declared(workspace))
    assert not workspace.released.release.root.exists()
    assert not workspace.released.extract.root.exists()
