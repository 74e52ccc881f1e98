"""Reserve: charged once and before a row is read, or refused with nothing written."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil

import pytest
from charged_cases import declared, settings

from pipeline import files
from pipeline.catalog import Home, Workspace
from pipeline.cli.ledger import verify
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import BudgetExceeded, Ledger, ReservationConflict
from pipeline.refusal import Refusal
from pipeline.restricted import reserve, train
from pipeline.services.tracking.run_facts import reservation_tags


def test_reserving_reads_no_row_and_charges_once(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    first, spent = (
        workspace.restricted.reservation.read_bytes(),
        Ledger(Home.find().ledger).balance("toy"),
    )
    shutil.rmtree(workspace.restricted.data)
    workspace.restricted.reservation.unlink()
    reserve.run(workspace, settings(), declared(workspace))
    assert (
        workspace.restricted.reservation.read_bytes() == first
        and Ledger(Home.find().ledger).balance("toy") == spent
    )
    with pytest.raises(ReservationConflict):
        reserve.run(workspace, settings(epsilon=0.5), declared(workspace))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "public"},
        {"universe": "others"},
        {"nominal_size": 100},
        {"delta": 1e-7},
        {"epsilon": 2.0},
        {"ceiling_epsilon": 9.0},
    ],
)
def test_a_declaration_that_says_otherwise_than_the_ledger_is_refused(
    workspace: Workspace, change: dict[str, object]
) -> None:
    told = declared(workspace)
    told = dataclasses.replace(told, population=dataclasses.replace(told.population, **change))
    with pytest.raises(ValueError, match=f"open in the ledger with {next(iter(change))}"):
        reserve.run(workspace, settings(), told)
    assert (
        Ledger(Home.find().ledger).reservation("toy-1") is None
        and not workspace.restricted.reservation.exists()
    )


def test_too_little_budget_is_said_and_nothing_is_written(workspace: Workspace) -> None:
    with pytest.raises(BudgetExceeded, match="toy"):
        reserve.run(workspace, settings(epsilon=5.0), declared(workspace))
    assert (
        not workspace.restricted.reservation.exists()
        and Ledger(Home.find().ledger).reservation("toy-1") is None
    )


def test_an_engine_without_a_guarantee_is_never_charged(workspace: Workspace) -> None:
    """Not even where the data are simulated and declared public."""
    given = settings()
    asked = dataclasses.replace(
        given, train=dataclasses.replace(given.train, table={"engine": "ctgan"})
    )
    with pytest.raises(Refusal, match="ctgan learns without differential privacy"):
        reserve.run(workspace, asked, declared(workspace))
    assert not workspace.restricted.reservation.exists()
    assert Ledger(Home.find().ledger).reservation("toy-1") is None


def test_no_charge_before_validate_has_passed(workspace: Workspace) -> None:
    workspace.restricted.validation.root.rmdir()
    with pytest.raises(ValueError, match="validate has not run"):
        reserve.run(workspace, settings(), declared(workspace))


def test_the_reservation_of_another_release_is_refused(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    given = settings()
    with pytest.raises(ValueError, match=r"reservation\.json is of toy-1, this run is toy-2"):
        train.run(
            workspace,
            dataclasses.replace(given, release=dataclasses.replace(given.release, id="toy-2")),
            declared(workspace),
        )


def test_reserving_again_after_publishing_says_the_same(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    ledger, before = Ledger(Home.find().ledger), workspace.restricted.reservation.read_bytes()
    ledger.commit("toy-1")
    head = ledger.chain_head()
    workspace.restricted.reservation.unlink()  # as dvc does
    reserve.run(workspace, settings(), declared(workspace))
    assert (workspace.restricted.reservation.read_bytes(), ledger.chain_head()) == (before, head)
    with pytest.raises(ReservationConflict):
        reserve.run(workspace, settings(epsilon=0.5), declared(workspace))


def test_a_ledger_rolled_back_behind_a_published_card_charges_nothing(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home.find()
    old = home.ledger_file.read_bytes()
    ledger = Ledger(home.ledger)
    ledger.reserve(
        "toy-0", "toy", DiscreteGaussianDpEvent(50.0), by="tests", source_label="earlier"
    )
    card = {"privacy": {"chain_head": ledger.chain_head()}}
    files.write_json(home.published / "toy-0" / "card.json", card)
    reserve.run(workspace, settings(), declared(workspace))
    assert verify(argparse.Namespace()) == 0 and "noted in 3 place(s)" in capsys.readouterr().out
    home.ledger_file.write_bytes(old)
    for ask in (
        lambda: reserve.run(workspace, settings(), declared(workspace)),
        lambda: verify(argparse.Namespace()),
    ):
        with pytest.raises(ValueError, match="an old copy was put back"):
            ask()
    assert ledger.balance("toy").n_releases == 0
    home.ledger_file.unlink()
    with pytest.raises(ValueError, match="an old copy was put back"):
        verify(argparse.Namespace())


def test_the_reservation_notes_the_ledgers_head_for_mlflow(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    head = Ledger(Home.find().ledger).chain_head()
    reservation = json.loads(workspace.restricted.reservation.read_text())
    assert reservation["head"] == head
    assert reservation_tags(reservation)["ledger_head"] == head
