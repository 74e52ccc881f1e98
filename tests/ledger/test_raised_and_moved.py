"""Budgets raised by entries, ledgers moved to PostgreSQL, URLs that cannot be used."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from ledger_cases import OPEN, RELEASE, opened, reserve

from pipeline.catalog import Home
from pipeline.cli.parser import main
from pipeline.cli.stage import is_refusal
from pipeline.databases import is_passing
from pipeline.dp import renyi
from pipeline.environment import HOME_VARIABLE, LEDGER_VARIABLE
from pipeline.ledger import BudgetExceeded, Entry, Ledger
from pipeline.ledger.chain import Writer
from pipeline.ledger.entries import MOVED
from pipeline.refusal import Unavailable
from pipeline.stages import REFUSED

PUT = Writer.put


@pytest.fixture
def ledger(where: str) -> Ledger:
    return opened(where)


def fill(ledger: Ledger, name: str) -> int:
    for number in range(1000):
        try:
            reserve(ledger, f"{name}-{number}")
        except BudgetExceeded:
            return number
    raise AssertionError("the budget never ended")


def raise_to(ledger: Ledger, epsilon: float, reason: str = "agreed on 3 May") -> object:
    return ledger.raise_budget("trial", epsilon=epsilon, reason=reason, by="custodian")


def test_a_raised_budget_admits_more_at_the_same_order(ledger: Ledger) -> None:
    before, n_before = ledger.population("trial"), fill(ledger, "a")
    raised = raise_to(ledger, 5.0)
    assert (raised.epsilon, raised.opened_epsilon, raised.order) == (5.0, 3.0, before.order)
    assert raised.limit_rdp == pytest.approx(renyi.rdp_limit(before.order, 5.0, 1e-6))
    assert renyi.epsilon_of_rdp(raised.order, raised.limit_rdp, raised.delta) == pytest.approx(5.0)
    head = ledger.chain_head()
    assert raise_to(ledger, 5.0) == raised and ledger.chain_head() == head  # the same again
    assert n_before + fill(ledger, "b") == int(raised.limit_rdp / renyi.rdp(RELEASE, raised.order))
    assert ledger.balance("trial").epsilon_spent <= 5.0
    ledger.open_population("trial", **OPEN)  # the declaration is that of the opening, and stays so
    assert ledger.population("trial") == raised
    assert [entry.kind for entry in ledger.entries("trial")][n_before + 1] == "raised"


@pytest.mark.parametrize(
    ("epsilon", "reason", "message"),
    [
        (5.1, "more", "ceiling of epsilon 5, asked for 5.1"),
        (3.0, "the same", "only ever raised"),
        (2.0, "less", "only ever raised"),
        (4.0, " ", "needs a reason"),
    ],
)
def test_what_no_entry_may_do(ledger: Ledger, epsilon: float, reason: str, message: str) -> None:
    head = ledger.chain_head()
    with pytest.raises(ValueError, match=message):
        raise_to(ledger, epsilon, reason)
    assert ledger.chain_head() == head


def test_a_file_moves_to_a_database_entry_by_entry(tmp_path: Path, database: str) -> None:
    old, new = opened(str(tmp_path / "ledger.db")), Ledger(database)
    reserve(old, "r1")
    entries, head = old.entries(), old.chain_head()
    old.move_to(new, by="custodian")
    old.move_to(new, by="custodian")  # as after a crash
    assert new.entries() == entries and new.chain_head() == head
    new.verify({"the card of r1": head})
    for use in (lambda: reserve(old, "r2"), lambda: old.balance("trial"), old.chain_head):
        with pytest.raises(ValueError, match=r"was moved to .*closed"):
            use()
    reserve(new, "r2")
    assert new.balance("trial").n_releases == 2
    old.move_to(new, by="custodian")
    assert len(new.entries()) == len(entries) + 1
    with pytest.raises(ValueError, match=r"cannot move to elsewhere\.db as well"):
        old.move_to(Ledger(tmp_path / "elsewhere.db"), by="custodian")


def test_a_move_that_was_cut_off_leaves_nobody_two_ledgers(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = opened(str(tmp_path / "ledger.db")), Ledger(database)
    reserve(old, "r1")
    entries = old.entries()
    with monkeypatch.context() as cut, pytest.raises(RuntimeError):
        cut.setattr(Writer, "put", _fails_elsewhere)
        old.move_to(new, by="custodian")
    assert new.entries() == []
    with pytest.raises(ValueError, match="closed"):
        reserve(old, "r2")
    old.move_to(new, by="custodian")
    assert new.entries() == entries


def _fails_elsewhere(self: Writer, entry: Entry) -> None:
    if entry.kind != MOVED:
        raise RuntimeError("the power went")
    PUT(self, entry)


def test_a_database_in_use_takes_no_other_ledger(tmp_path: Path, database: str) -> None:
    old, new = opened(str(tmp_path / "ledger.db")), opened(database)
    reserve(new, "theirs")
    reserve(old, "r1")
    with pytest.raises(ValueError, match="holds other entries"):
        old.move_to(new, by="custodian")
    reserve(old, "r2")  # still open


def test_where_the_ledger_of_a_home_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    assert home.ledger == str(tmp_path / "state" / "ledger.db")
    home.state.mkdir()
    home.ledger_url.write_text("\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"ledger\.url is empty"):
        _ = home.ledger
    home.ledger_url.write_text("postgresql://noted@host/ledger\n", encoding="utf-8")
    assert home.ledger == "postgresql://noted@host/ledger"
    monkeypatch.setenv(LEDGER_VARIABLE, "postgresql://said@host/ledger")
    assert home.ledger == "postgresql://said@host/ledger"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://a@b/c", "not mysql"),
        ("://", "cannot be read"),
        ("postgresql://u@h:PORT/x", "cannot be read"),
        ("postgresql:///x?host=h&password=secret", "PGPASSFILE"),
    ],
)
def test_a_url_that_leads_nowhere_is_said_clearly_and_without_its_password(
    url: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        Ledger(url).entries()
    assert "secret" not in str(refusal.value)


def test_a_server_that_does_not_answer_is_tried_again_and_no_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Unavailable, match="server down") as error:
        Ledger("postgresql://u:secret@127.0.0.1:1/x").entries()
    assert "secret" not in str(error.value) and not is_refusal(error.value)
    monkeypatch.setenv(LEDGER_VARIABLE, "postgresql://u@127.0.0.1:1/x")
    assert main(["ledger", "show"]) == 1


@pytest.mark.parametrize(
    ("state", "passes"),
    [
        *((state, True) for state in ("08006", "40001", "40P01", "55P03", "57P01", "53300")),
        *((state, False) for state in ("42501", "P0001", "28P01", "23505")),
    ],
)
def test_which_errors_of_postgresql_pass(state: str, passes: bool) -> None:
    error = psycopg.errors.lookup(state)("said by the server")
    assert is_passing(sa.exc.OperationalError("SELECT 1", {}, error)) is passes


@pytest.mark.parametrize(
    ("words", "passes"),
    [
        ("database is locked", True),
        ("disk I/O error", False),
        ("database disk image is malformed", False),
    ],
)
def test_which_errors_of_sqlite_pass(words: str, passes: bool) -> None:
    error = sqlite3.OperationalError(words)
    assert is_passing(sa.exc.OperationalError("SELECT 1", {}, error)) is passes


@pytest.mark.parametrize(
    ("words", "passes"),
    [
        ("connection failed: connection refused", True),
        ("server closed the connection unexpectedly", True),
        ('FATAL: password authentication failed for user "a"', False),
        ('FATAL: database "x" does not exist', False),
    ],
)
def test_which_connections_that_fail_pass(words: str, passes: bool) -> None:
    error = psycopg.OperationalError(words)
    assert is_passing(sa.exc.OperationalError("SELECT 1", {}, error)) is passes


def test_the_command_moves_the_home_and_every_later_command_uses_the_database(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.delenv(LEDGER_VARIABLE, raising=False)
    home = Home.find()
    reserve(opened(home.ledger), "r1")
    assert main(["ledger", "move", database]) == 0
    assert home.ledger == database and home.ledger_url.stat().st_mode & 0o077 == 0
    with pytest.raises(ValueError, match="was moved"):
        Ledger(home.ledger_file).entries()
    reserve(Ledger(home.ledger), "r2")
    assert main(["ledger", "verify"]) == 0 and Ledger(database).balance("trial").n_releases == 2
    assert main(["ledger", "move", database]) == REFUSED
