"""What an auditor sees: ledger, budgets, releases and their lineage, the log of both processes."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3

import pytest
import release_cases
import sqlalchemy as sa

from pipeline.ledger import Ledger
from portal.custodian.audit import log
from portal.custodian.tables import dispatches
from portal.shared import database
from portal.shared.tables import actions, requests


@pytest.fixture
def auditor(portal):
    release_cases.publish(portal.home, "first-1")
    release_cases.charge(portal.home, "second-1").abandon("second-1", "a fault", "tests")
    release_cases.publish(portal.home, "a-draw", drawn_from="first-1")
    return portal.somebody("auditor")


def break_chain(home):
    """As somebody with the file and without scruples."""
    with sqlite3.connect(home.ledger_file) as ledger:
        ledger.execute("DROP TRIGGER entry_is_never_changed")
        ledger.execute("UPDATE entry SET by = 'somebody else' WHERE number = 2")


def test_an_empty_home_has_pages_too(portal):
    auditor = portal.somebody("auditor")
    for page in ("", "/ledger", "/budgets", "/releases", "/actions"):
        assert auditor.get(f"/audit{page}").status_code == 200, page
    assert auditor.get("/audit/releases/first-1").status_code == 404


def test_the_ledger_is_shown_as_it_is(portal, auditor):
    entries = Ledger(portal.home.ledger).entries()
    page = auditor.get("/audit/ledger").text
    assert "The chain is whole" in page
    for entry in entries:
        assert entry.hash in page
    only = auditor.get("/audit/ledger?release=second-1").text
    assert "a fault" in only and "/audit/releases/first-1" not in only
    assert auditor.get("/audit/ledger.json").json() == Ledger(portal.home.ledger).export()
    assert "The chain is whole" in auditor.post("/audit/ledger/check").text


def test_a_broken_chain_is_said_and_still_shown(portal, auditor):
    break_chain(portal.home)
    for page in ("/audit", "/audit/ledger"):
        assert "does not hold" in auditor.get(page).text
    assert "somebody else" in auditor.get("/audit/ledger").text
    assert "does not hold" in auditor.post("/audit/ledger/check").text
    assert auditor.get("/audit/budgets").status_code == 400


def test_a_chain_that_lost_its_end_is_found_out(portal, auditor):
    card = portal.home.release("first-1").card
    facts = json.loads(card.read_text())
    facts["privacy"]["chain_head"] = "0" * 64
    card.write_text(json.dumps(facts))
    assert "does not hold" in auditor.get("/audit/ledger").text


def test_budgets_are_the_ledgers(portal, auditor):
    page = auditor.get("/audit/budgets").text
    found = re.search(r'<script type="application/json" id="budgets">(.*?)</script>', page, re.S)
    (figures,) = json.loads(found[1])["populations"].values()
    balance = Ledger(portal.home.ledger).balance(release_cases.NAME)
    assert figures["share_spent"] == balance.share_spent
    assert [charge["release_id"] for charge in figures["charges"]] == ["first-1", "second-1"]
    assert f"{100 * balance.share_spent:.1f}%" in page


def test_releases_are_listed_with_their_draws(auditor):
    page = auditor.get("/audit/releases").text
    places = [page.index(f"/audit/releases/{one}") for one in ("second-1", "a-draw", "first-1")]
    assert places == sorted(places) and "abandoned" in page


def test_a_lineage_goes_back_to_who_asked(portal, auditor):
    with portal.public.state.engine.begin() as c:
        c.execute(
            sa.insert(requests).values(
                id="r1", created_at=1, email="ann@example.org", name="Ann", organisation="Trust",
                kind="draw", dataset="uci_heart", rows=10, purpose="To <test> code",
                state="published", state_at=1, release_id="a-draw",
            )
        )  # fmt: skip
    with portal.custodian.state.engine.begin() as c:
        c.execute(
            sa.insert(dispatches).values(
                id="r1", email="ann@example.org", kind="draw", dataset="uci_heart", rows=10,
                plan="", release_id="a-draw", approved_by="cleo@example.org", approved_at=1,
                is_live=True, step="ended", state="published", state_at=1,
            )
        )  # fmt: skip
    ledger = Ledger(portal.home.ledger)
    page = auditor.get("/audit/releases/first-1").text
    assert ledger.reservation("first-1").entry_hash in page and "week 1" in page
    draw = auditor.get("/audit/releases/a-draw").text
    assert "/audit/releases/first-1" in draw and "To &lt;test&gt; code" in draw
    assert "ann@example.org" in draw and "cleo@example.org" in draw
    assert ledger.reservation("first-1").entry_hash in draw
    gone = auditor.get("/audit/releases/second-1").text
    assert "Nothing of it is in the released zone" in gone and "abandoned" in gone


def test_a_manifest_that_changed_is_found_out(portal, auditor):
    manifest = portal.home.release("first-1").manifest
    manifest.write_text(manifest.read_text() + " ")
    page = auditor.get("/audit/releases/first-1").text
    assert "not the one that the ledger noted" in page


def test_the_log_is_of_both_processes_and_can_be_searched(portal, auditor):
    portal.somebody("researcher", "ann@example.org").get("/releases/first-1/csv.zip")
    page = auditor.get("/audit/actions").text
    assert "ann@example.org" in page and "auditor@example.org" in page
    only = auditor.get("/audit/actions?person=ANN@&action=downloaded").text
    assert "first-1/csv.zip" in only and "auditor@example.org</td>" not in only
    assert "Nothing of that kind" in auditor.get("/audit/actions?person=a_n").text
    assert "Nothing of that kind" in auditor.get("/audit/actions?until=2000-01-01").text
    assert "ann@" in auditor.get("/audit/actions?since=2000-01-01").text
    for wrong in ("since=yesterday", "until=0001-01-01", "until=9999-12-31", "page=0"):
        assert auditor.get(f"/audit/actions?{wrong}").status_code == 400


def test_the_log_turns_pages(portal, auditor, monkeypatch):
    monkeypatch.setattr("portal.custodian.audit.routes.ON_PAGE", 1)
    portal.somebody("researcher", "ann@example.org")
    first, second = (auditor.get(f"/audit/actions?page={n}").text for n in (1, 2))
    assert ("page=2" in first, "page=1" in second, "page=3" in second) == (True, True, False)
    assert "ann@example.org<br>" in first + second and "auditor@example.org<br>" in first + second


def test_the_log_as_csv_computes_nothing(portal, auditor):
    with portal.public.state.engine.begin() as c:
        c.execute(
            sa.insert(actions).values(
                at=database.now(), email="=1+1@x.org", role="", address="", action="tried",
                subject="",
            )
        )  # fmt: skip
    text = auditor.get("/audit/actions.csv?action=tried").text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["email"] for row in rows] == ["'=1+1@x.org"]
    assert list(rows[0]) == list(log.COLUMNS)


def test_a_run_is_linked_to_airflow(portal, auditor):
    workspace = portal.home.workspace("first-1")
    workspace.restricted.stages.parent.mkdir(parents=True)
    note = {
        "stage": "train",
        "started_ms": 1_790_000_000_000,
        "seconds": 61.0,
        "status": "FINISHED",
        "airflow_run": "manual__1",
    }
    workspace.restricted.stages.write_text(json.dumps(note) + "\n")
    page = auditor.get("/audit/releases/first-1").text
    assert (
        "finished 2026-09-21 14:14 UTC, 61 s" in page
        and "/dag_runs?run_id_pattern=manual__1" in page
    )
    assert auditor.get("/audit/releases/first-1/mlflow").status_code == 404
