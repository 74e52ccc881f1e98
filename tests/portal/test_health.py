"""What a process says to whatever watches it: parts and whether they are well."""

from __future__ import annotations

import sqlite3

import pytest
import release_cases

from portal.public import app as public
from portal.shared import health
from portal.shared.health import Health

NAMES = {
    "public": {"database", "releases"},
    "custodian": {"database", "exchange", "ledger", "airflow"},
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SECONDS", -1.0)


def told(portal, process: str) -> tuple[int, dict[str, str]]:
    answer = portal.visitor(process).get("/health")
    body = answer.json()
    assert set(body) == {"process", "status", "parts"} and body["process"] == process
    assert set(body["parts"]) == NAMES[process] and "set-cookie" not in answer.headers
    assert set(body["parts"].values()) <= {"healthy", "unhealthy"}
    assert (body["status"] == "healthy") == (answer.status_code == 200)
    return answer.status_code, body["parts"]


def test_nobody_signs_in_and_what_was_published_and_charged_is_not_told(portal):
    before = {process: told(portal, process) for process in NAMES}
    for status, parts in before.values():
        assert status == 200
        assert {parts[name] for name in parts if name != "airflow"} == {"healthy"}
    release_cases.publish(portal.home, "first-1")
    assert {process: told(portal, process) for process in NAMES} == before


def test_a_database_that_is_gone_is_named(portal, monkeypatch):
    for process in NAMES:
        with monkeypatch.context() as patch:
            engine = getattr(portal, process).state.engine
            patch.setattr(type(engine), "connect", lambda _: 1 / 0)
            status, parts = told(portal, process)
        assert status == 503 and parts["database"] == "unhealthy"


def test_a_broken_ledger_and_releases_that_cannot_be_read_are_named(portal, monkeypatch):
    release_cases.publish(portal.home, "first-1")
    with sqlite3.connect(portal.home.ledger_file) as ledger:
        ledger.execute("DROP TRIGGER entry_is_never_changed")
        ledger.execute("UPDATE entry SET by = 'somebody else' WHERE number = 2")
    status, parts = told(portal, "custodian")
    assert status == 503 and parts["ledger"] == "unhealthy"
    assert told(portal, "public")[0] == 200
    monkeypatch.setattr(public.os, "access", lambda *_: False)
    assert told(portal, "public") == (503, {"database": "healthy", "releases": "unhealthy"})


def test_what_a_process_works_with_may_be_away():
    one = Health("x", {"a": lambda: True}, {"b": lambda: False})
    assert one.answer().status_code == 200 and b"unhealthy" in one.answer().body


def test_who_asks_often_costs_nothing(monkeypatch):
    monkeypatch.setattr(health, "SECONDS", 3600.0)
    asked = []
    one = Health("x", {"a": lambda: bool(asked.append(1)) or True}, {})
    assert [one.answer().status_code for _ in range(5)] == [200] * 5 and len(asked) == 1
