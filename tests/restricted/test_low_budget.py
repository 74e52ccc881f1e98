"""A budget that runs low is said by reserve, by the command behind the DAG's task, and on the
release's MLflow run; it stops nothing.
"""

from __future__ import annotations

import dataclasses
import json
import logging

import pytest
from charged_cases import declared, settings

from pipeline import stages
from pipeline.catalog import Home, Workspace
from pipeline.cli.parser import main
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger
from pipeline.restricted import reserve
from pipeline.runs.workspace import dump_params
from pipeline.services import tracking


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="pipeline")
    logging.getLogger("pipeline").propagate = True
    return caplog


def warnings(said: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in said.records if record.levelno == logging.WARNING]


def spend(share: float) -> None:
    """Another release of the same people takes this much of the budget."""
    ledger = Ledger(Home.find().ledger)
    population = ledger.population("toy")
    sigma = (population.order / (2 * share * population.limit_rdp)) ** 0.5
    ledger.reserve(
        "toy-0", "toy", DiscreteGaussianDpEvent(sigma), by="tests", source_label="earlier"
    )


def test_plenty_is_not_warned_about(
    workspace: Workspace, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    standing = json.loads(workspace.restricted.budget.read_text())
    assert warnings(said) == [] and standing["warning"] is None
    balance = Ledger(Home.find().ledger).balance("toy")
    assert (
        standing["share_left"] == pytest.approx(1 - balance.share_spent)
        and standing["more_like_this"] == balance.more_like_last
    )
    monkeypatch.chdir(workspace.root)
    assert main(["enough-budget"]) == 0


def test_little_left_is_warned_about_and_the_release_goes_on(
    workspace: Workspace,
    said: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spend(0.7)
    reserve.run(workspace, settings(), declared(workspace))
    [warning] = warnings(said)
    left = 1 - Ledger(Home.find().ledger).balance("toy").share_spent
    assert (
        "LOW BUDGET" in warning
        and "population toy" in warning
        and f"{left:.1%}" in warning
        and "What to do" in warning
    )
    assert (
        Ledger(Home.find().ledger).state("toy-1") == "reserved"
        and workspace.restricted.reservation.is_file()
    )
    monkeypatch.chdir(workspace.root)
    assert (
        main(["enough-budget"]) == stages.UNCHANGED and "LOW BUDGET" in capsys.readouterr().err
    )  # Airflow marks the task skipped


def test_few_releases_left_are_warned_about(
    workspace: Workspace, said: pytest.LogCaptureFixture
) -> None:
    reserve.run(
        workspace, settings(warn_below_share=0.0, warn_below_releases=50), declared(workspace)
    )
    assert "more releases like the last one fit" in warnings(said)[0]


def test_saying_it_again_charges_nothing_and_changes_no_output(workspace: Workspace) -> None:
    """The warning is of the moment, so it stands in a file that no stage depends on."""
    reserve.run(workspace, settings(), declared(workspace))
    reservation, head = (
        workspace.restricted.reservation.read_bytes(),
        Ledger(Home.find().ledger).chain_head(),
    )
    spend(0.7)
    head = Ledger(Home.find().ledger).chain_head()
    reserve.run(workspace, settings(), declared(workspace))
    assert json.loads(workspace.restricted.budget.read_text())["warning"] is not None
    assert (
        workspace.restricted.reservation.read_bytes() == reservation
        and Ledger(Home.find().ledger).chain_head() == head
    )


def test_a_folder_without_a_charge_is_not_low(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["enough-budget"]) == 0


def test_the_warning_stands_on_the_mlflow_run(workspace: Workspace) -> None:
    spend(0.7)
    given = settings()
    dump_params(json.loads(json.dumps(dataclasses.asdict(given), default=str)), workspace.params)
    reserve.run(workspace, given, declared(workspace))
    run = tracking.client_of(Home.find()).get_run(tracking.sync(Home.find(), workspace))
    warning = json.loads(workspace.restricted.budget.read_text())["warning"]
    assert (
        run.data.tags["budget_warning"] == warning
        and warning in run.data.tags["mlflow.note.content"]
    )
