"""Before the charge: too little left stops simulated and public data; for real data a person says
yes, always.
"""

from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path

import pytest
from account_cases import write_account
from test_approve import of_kind, settings

from pipeline import files
from pipeline.catalog import Home, Workspace
from pipeline.environment import ANSWER_VARIABLE, ANSWERED_BY_VARIABLE, HOME_VARIABLE
from pipeline.ledger import Ledger
from pipeline.ledger.refusals import MOST_ABANDONED
from pipeline.refusal import Refusal
from pipeline.restricted import account_table, confirm, confirmation
from pipeline.restricted.confirm import NotConfirmed


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv(ANSWER_VARIABLE, raising=False)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setattr(sys, "stdin", StringIO(""))
    here = Workspace(tmp_path)
    write_account(here.restricted, 100)
    return here


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", ["simulated", "public"])
@pytest.mark.parametrize("n_kept", [0, 1, 98])
def test_too_little_left_stops_before_the_charge(
    workspace: Workspace, kind: str, n_kept: int
) -> None:
    """The message holds the account and how to find out what to declare."""
    write_account(workspace.restricted, 100, n_kept)
    with pytest.raises(NotConfirmed) as refused:
        confirm.run(workspace, settings(), of_kind(kind))
    assert "born: does not parse" in str(refused.value)
    assert "python -m pipeline dataset check" in str(refused.value)
    assert not workspace.restricted.confirmation.exists()
    with pytest.raises(Refusal, match="confirm has not run"):
        confirmation.check(workspace.restricted, "adult-1")


@pytest.mark.parametrize("kind", ["simulated", "public"])
def test_enough_left_goes_on_by_itself(workspace: Workspace, kind: str) -> None:
    write_account(workspace.restricted, 100, 99)
    confirm.run(workspace, settings(), of_kind(kind))
    confirmation.check(workspace.restricted, "adult-1")
    with pytest.raises(Refusal, match="confirm has not run"):
        confirmation.check(workspace.restricted, "another-1")


@pytest.mark.parametrize("n_kept", [0, 50, 100])
def test_real_data_wait_for_a_person_whatever_is_left(workspace: Workspace, n_kept: int) -> None:
    """Else the wait would tell something of the rows."""
    write_account(workspace.restricted, 100, n_kept)
    with pytest.raises(NotConfirmed, match="waits for a person") as refused:
        confirm.run(workspace, settings(), of_kind("confidential"))
    assert str(n_kept) not in str(refused.value).replace("adult-1", "")


@pytest.mark.parametrize(
    ("declared", "opened"), [("simulated", "confidential"), ("confidential", "public")]
)
def test_ledger_and_declaration_must_agree(
    workspace: Workspace, declared: str, opened: str
) -> None:
    with pytest.raises(NotConfirmed, match="waits for a person"):
        confirm.run(workspace, settings(), of_kind(declared, opened_as=opened))


def test_the_question_shows_the_account(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_account(workspace.restricted, 100, 60)
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    confirm.run(workspace, settings(), of_kind("confidential"))
    question = capsys.readouterr().err
    assert "100 patients read, 60 kept (60.0%), 40 dropped" in question
    assert "born: does not parse" in question
    assert json.loads(workspace.restricted.confirmation.read_text())["confirmed"]


def test_an_answer_is_about_the_rows_that_were_seen(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds for a retry; after another ingest the person is asked again."""
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    schema = of_kind("confidential")
    confirm.run(workspace, settings(), schema)
    workspace.restricted.confirmation.unlink()  # as dvc repro does
    confirm.run(workspace, settings(), schema)
    write_account(workspace.restricted, 100, 99)
    with pytest.raises(Refusal, match="ingest has run since"):
        confirmation.check(workspace.restricted, "adult-1")
    monkeypatch.setattr(sys, "stdin", StringIO(""))
    with pytest.raises(NotConfirmed, match="waits for a person"):
        confirm.run(workspace, settings(), schema)


def test_a_no_costs_nothing_and_counts_as_a_refusal(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ANSWERED_BY_VARIABLE, "custodian")
    monkeypatch.setenv(ANSWER_VARIABLE, "Reject")
    schema = of_kind("confidential")
    with pytest.raises(NotConfirmed, match="declined by custodian before the charge"):
        confirm.run(workspace, settings(), schema)
    ledger = Ledger(Home.find().ledger)
    assert ledger.balance(schema.population.name).n_releases == 0
    for number in range(MOST_ABANDONED - 1):
        ledger.decline(f"other-{number}", schema.population.name, "custodian")
    from pipeline.dp.events import DiscreteGaussianDpEvent

    with pytest.raises(Refusal, match="refused"):
        ledger.reserve(
            "next-1",
            schema.population.name,
            DiscreteGaussianDpEvent(400.0),
            by="tests",
            source_label="x",
        )


def test_the_account_as_a_page_and_as_lines(workspace: Workspace) -> None:
    write_account(workspace.restricted, 1000, 400)
    account = account_table.read(workspace.restricted)
    page = account_table.section(account)
    for text in ("40.0% of the patients", "1,000", "600", "born", "does not parse"):
        assert text in page
    account["out_of_balance"] = ["rows"]
    assert "does not balance: rows" in account_table.section(account)
    assert account_table.shortfalls(account, 0.1) != []


@pytest.mark.parametrize("option", ["Approve", "Reject"])
def test_nobody_confirms_what_they_asked_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv(ANSWER_VARIABLE, option)
    monkeypatch.setenv(ANSWERED_BY_VARIABLE, "ann@x.org")
    files.write_json(workspace.restricted.run, {"owner": None, "asked_by": "ann@x.org"})
    with pytest.raises(Refusal, match="asked for this run and cannot answer"):
        confirm.run(workspace, settings(), of_kind("confidential"))
    assert not workspace.restricted.confirmations.exists()
    assert Ledger(Home.find().ledger).refusals_left("adult") == MOST_ABANDONED
