"""Approval: by the run itself for simulated and public data only, by a person otherwise; a refusal
is recorded and holds.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from io import StringIO

import pytest

from pipeline import files, params
from pipeline.catalog import Home, Workspace, project_root
from pipeline.cli.parser import main
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.environment import ANSWER_VARIABLE, ANSWERED_BY_VARIABLE, HOME_VARIABLE
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.restricted import approve
from pipeline.restricted.approve import NotApproved
from pipeline.schema.reader import read_schema

SETTINGS = params.load(project_root() / "params.yaml")
PUBLIC = read_schema(project_root() / "datasets" / "adult.yaml")


def settings(self_approve: bool = True):
    return replace(
        SETTINGS,
        release=replace(SETTINGS.release, id="adult-1"),
        approve=params.ApproveParams(self_approve=self_approve),
    )


def of_kind(kind: str, opened_as: str | None = None):
    """A declaration of this kind; its population is opened in the ledger, as the same kind unless
    said otherwise.
    """
    population = PUBLIC.population
    Ledger(Home.find().ledger).open_population(
        population.name,
        universe=population.universe,
        nominal_size=population.nominal_size,
        epsilon=population.epsilon,
        delta=population.delta,
        ceiling_epsilon=population.ceiling_epsilon,
        kind=opened_as or kind,
        reason="tests",
        by="tests",
    )
    return replace(PUBLIC, population=replace(population, kind=kind))


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.delenv(ANSWER_VARIABLE, raising=False)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setattr(sys, "stdin", StringIO(""))
    return Workspace(tmp_path)


def told(workspace: Workspace) -> dict:
    return json.loads(workspace.restricted.approval.read_text())


@pytest.mark.parametrize("kind", ["simulated", "public"])
def test_simulated_and_public_runs_approve_themselves_and_say_so(workspace, kind):
    approve.run(workspace, settings(), of_kind(kind))
    assert told(workspace)["approved"] and told(workspace)["self_approved"]


def test_a_confidential_run_never_approves_itself(workspace):
    with pytest.raises(NotApproved, match="waits for a person"):
        approve.run(workspace, settings(), of_kind("confidential"))
    assert not workspace.restricted.approval.exists()


@pytest.mark.parametrize(
    ("declared", "opened_as"),
    [("public", "confidential"), ("simulated", "public"), ("confidential", "public")],
)
def test_where_ledger_and_declaration_differ_no_run_approves_itself(workspace, declared, opened_as):
    with pytest.raises(NotApproved, match="waits for a person"):
        approve.run(workspace, settings(), of_kind(declared, opened_as))


def test_a_population_that_is_not_open_approves_nothing(workspace):
    assert not approve.may_approve_itself(settings(), PUBLIC)


def test_the_setting_off_asks_for_public_data_too(workspace):
    with pytest.raises(NotApproved):
        approve.run(workspace, settings(self_approve=False), of_kind("public"))


def test_an_answer_in_airflow_is_recorded_with_the_name(workspace, monkeypatch):
    monkeypatch.setenv(ANSWER_VARIABLE, "Approve")
    monkeypatch.setenv(ANSWERED_BY_VARIABLE, "custodian")
    approve.run(workspace, settings(), of_kind("confidential"))
    assert (told(workspace)["by"], told(workspace)["self_approved"]) == ("custodian", False)


def test_a_rejection_is_recorded_and_holds_for_every_later_run(workspace, monkeypatch):
    monkeypatch.setenv(ANSWER_VARIABLE, "Reject")
    with pytest.raises(NotApproved, match="was refused"):
        approve.run(workspace, settings(), of_kind("public"))
    monkeypatch.setenv(ANSWER_VARIABLE, "")
    with pytest.raises(NotApproved, match="was refused"):  # though the run could approve itself now
        approve.run(workspace, settings(), of_kind("public"))
    assert not workspace.restricted.approval.exists()
    assert len((workspace.restricted.answers).read_text().splitlines()) == 1


def test_a_refusal_is_abandoned_in_the_ledger_once(workspace, monkeypatch):
    declared, ledger = of_kind("public"), Ledger(Home.find().ledger)
    ledger.reserve(
        "adult-1", "adult", DiscreteGaussianDpEvent(100.0), by="tests", source_label="first"
    )
    monkeypatch.setenv(ANSWER_VARIABLE, "Reject")
    monkeypatch.setenv(ANSWERED_BY_VARIABLE, "custodian")
    for _ in range(2):
        with pytest.raises(NotApproved, match="was refused"):
            approve.run(workspace, settings(), declared)
    last = ledger.entries()[-1]
    assert (len(ledger.entries()), last.kind, last.by, last.facts) == (
        3,
        "abandoned",
        "custodian",
        {"reason": "refused"},
    )


def test_a_release_is_abandoned_at_the_command_line_too(workspace, capsys):
    of_kind("public")
    Ledger(Home.find().ledger).reserve(
        "adult-1", "adult", DiscreteGaussianDpEvent(100.0), by="tests", source_label="first"
    )
    assert main(["ledger", "abandon", "adult-1", "--reason", "the disk broke"]) == 0
    assert Ledger(Home.find().ledger).state("adult-1") == "abandoned"
    assert main(["ledger", "abandon", "adult-2", "--reason", "no such"]) == 2
    logger = logging.getLogger("pipeline")
    logger.handlers[:], logger.propagate = [], True


def test_a_given_answer_is_not_asked_for_again(workspace, monkeypatch):
    monkeypatch.setenv(ANSWER_VARIABLE, "Approve")
    approve.run(workspace, settings(), of_kind("confidential"))
    monkeypatch.delenv(ANSWER_VARIABLE)
    first = told(workspace)
    workspace.restricted.approval.unlink()  # as dvc does before it runs the stage again
    approve.run(workspace, settings(), of_kind("confidential"))
    assert told(workspace) == first


@pytest.mark.parametrize(("typed", "approved"), [("yes\n", True), ("no\n", False), ("\n", False)])
def test_at_the_terminal_only_yes_is_yes(workspace, monkeypatch, typed, approved):
    terminal = StringIO(typed)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    if approved:
        approve.run(workspace, settings(), of_kind("confidential"))
        assert told(workspace)["approved"]
    else:
        with pytest.raises(NotApproved):
            approve.run(workspace, settings(), of_kind("confidential"))


def test_half_a_line_left_by_a_crash_counts_as_no_answer(workspace):
    workspace.restricted.root.mkdir(parents=True)
    (workspace.restricted.answers).write_text('{"release_id": "adult-1", "appro')
    with pytest.raises(NotApproved, match="waits for a person"):
        approve.run(workspace, settings(), of_kind("confidential"))


@pytest.mark.parametrize("option", ["Approve", "Reject"])
@pytest.mark.parametrize(
    ("asked_by", "by"),
    [("ann@x.org", "ann@x.org"), ("ann@x.org", " Ann@X.org"), ("ann", "ann@x.org"), ("bo", "bo")],
)
def test_nobody_answers_for_what_they_asked_for(workspace, monkeypatch, asked_by, by, option):
    """By address, and by a user of Airflow whose address is known; and nothing is recorded."""
    monkeypatch.setenv(ANSWER_VARIABLE, option)
    monkeypatch.setenv(ANSWERED_BY_VARIABLE, by)
    files.write_json(workspace.restricted.run, {"owner": None, "asked_by": asked_by})
    users = params.ApproveParams(self_approve=True, airflow_users={"ann": "ann@x.org"})
    declared = of_kind("confidential")
    with pytest.raises(Refusal, match="asked for this run and cannot answer"):
        approve.run(workspace, replace(settings(), approve=users), declared)
    assert not workspace.restricted.approval.exists() and not workspace.restricted.answers.exists()
    monkeypatch.setenv(ANSWERED_BY_VARIABLE, "carla@x.org")
    monkeypatch.setenv(ANSWER_VARIABLE, "Approve")
    approve.run(workspace, replace(settings(), approve=users), declared)
    assert told(workspace)["by"] == "carla@x.org"
