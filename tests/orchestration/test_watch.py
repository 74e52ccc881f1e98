"""The watch finds what somebody should hear of, and custodians hear of each thing once a day, in
public words.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from ledger_cases import COUNTS, OPEN

from pipeline import files
from pipeline.__main__ import main
from pipeline.catalog import Home
from pipeline.cli import watch
from pipeline.cli.doctor import machine
from pipeline.ledger import Ledger
from pipeline.services import findings
from pipeline.services.airflow_api import AirflowApi
from pipeline.services.findings import Finding

PUBLIC_KINDS = {question.title for question in watch.WATCHED} | {"budget low", "stuck"}


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What custodians are told: (subject, text)."""
    sent: list[tuple[str, str]] = []

    def send(_settings: object, _to: object, subject: str, text: str) -> bool:
        sent.append((subject, text))
        return True

    monkeypatch.setattr(findings.notices, "send", send)
    return sent


def names(home: Home) -> list[str]:
    return files.read_json(home.watch_note)["findings"]


def test_a_quiet_night(home: Home, notices) -> None:
    assert main(["watch", "--tell"]) == 0
    assert names(home) == [] and notices == []


def low_budget(home: Home) -> None:
    ledger = Ledger(home.ledger)
    ledger.open_population("trial", **OPEN)
    ledger.reserve("first", "trial", COUNTS, by="t", source_label="x")
    for number in range(ledger.balance("trial").more_like_last or 0):
        ledger.reserve(f"more-{number}", "trial", COUNTS, by="t", source_label="x")


def test_a_broken_chain_is_found_and_told_once_a_day(home: Home, notices, caplog) -> None:
    low_budget(home)
    with closing(sqlite3.connect(home.ledger_file)) as ledger:
        ledger.execute("DROP TRIGGER entry_is_never_changed")
        ledger.execute("UPDATE entry SET by = 'somebody else' WHERE number = 2")
        ledger.commit()
    assert main(["watch", "--tell"]) == 2 and main(["watch", "--tell"]) == 2
    assert "chain broken" in names(home)
    assert len(notices) == 1 and "chain broken" in notices[0][1]
    assert "entry 2" not in notices[0][1] and "somebody" not in notices[0][1]
    note = files.read_json(home.watch_note)
    then = (datetime.now(UTC) - timedelta(hours=24)).isoformat()
    files.write_json(home.watch_note, note | {"told": dict.fromkeys(note["told"], then)})
    assert main(["watch", "--tell"]) == 2 and len(notices) == 2


def test_a_low_budget_names_its_population(home: Home, notices) -> None:
    low_budget(home)
    assert main(["watch", "--tell"]) == 2
    assert names(home) == ["budget low: trial"]
    assert notices[0][0] == "Syndasera: budget low: trial" and "%" not in notices[0][1]


def test_what_is_over_and_comes_back_is_told_anew(home: Home, notices, monkeypatch) -> None:
    usage = namedtuple("usage", "free")
    for free in (1e6, 1e12, 1e6):
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda _, free=free: usage(free))
        assert main(["watch", "--tell"]) == (2 if free < 1e9 else 0)
    assert [subject for subject, _ in notices] == ["Syndasera: disk nearly full"] * 2


@pytest.mark.parametrize(
    ("days", "kind", "expected"),
    [
        (None, "simulated", []),
        (1, "confidential", []),
        (3, "simulated", ["backup too old"]),
        (None, "confidential", ["backup too old"]),
    ],
)
def test_a_backup_is_asked_for(home: Home, notices, days, kind, expected) -> None:
    Ledger(home.ledger).open_population("trial", **(OPEN | {"kind": kind}))
    if days is not None:
        at = datetime.now(UTC) - timedelta(days=days)
        files.write_json(home.backup_note, {"made_at": at.isoformat()})
    main(["watch"])
    assert names(home) == expected and notices == []  # who looks by hand tells nobody


@pytest.mark.parametrize("text", ["{}", '{"made_at": "yesterday"}', "[]", "{"])
def test_a_note_of_a_backup_that_says_nothing_is_none(home: Home, text) -> None:
    Ledger(home.ledger).open_population("trial", **(OPEN | {"kind": "confidential"}))
    files.write_text(home.backup_note, text)
    assert main(["watch"]) == 2 and names(home) == ["backup too old"]


def airflow(home: Home, monkeypatch, answers: dict[str, object]) -> None:
    """Airflow as remembered, with what it answers by a part of the path; else it is away."""

    def call(_self, _method, path, *_, **__):
        for part, answer in answers.items():
            if part in path:
                return answer
        raise ConnectionRefusedError

    monkeypatch.setattr(AirflowApi, "call", call)
    monkeypatch.setattr(watch.processes, "remembered_names", lambda _: {"airflow-scheduler"})
    monkeypatch.setattr(
        watch.services.processes, "running_services", lambda _: {"airflow-scheduler": 1}
    )


HEALTHY = {
    part: {"status": "healthy"}
    for part in ("metadatabase", "scheduler", "dag_processor", "triggerer")
}


def test_a_task_that_runs_too_long_is_stuck(home: Home, notices, monkeypatch) -> None:
    running = {"dag_id": "refresh", "dag_run_id": "run-1", "task_id": "train", "duration": 99999.0}
    answers = {"monitor/health": HEALTHY, "state=running": {"task_instances": [running] * 2}}
    airflow(home, monkeypatch, answers)
    assert main(["watch", "--tell"]) == 2
    assert names(home) == ["stuck: refresh, run run-1"]
    assert "train" not in notices[0][1] and "99999" not in notices[0][1]


def test_airflow_is_well(home: Home, notices, monkeypatch) -> None:
    answers = {"monitor/health": HEALTHY, "state=running": {"task_instances": []}}
    airflow(home, monkeypatch, answers)
    assert main(["watch"]) == 0


@pytest.mark.parametrize("is_away", [True, False])
def test_airflow_is_not_well(home: Home, notices, monkeypatch, is_away) -> None:
    ill = HEALTHY | {"scheduler": {"status": "unhealthy"}}
    answers = {"monitor/health": ill, "state=running": {"task_instances": []}}
    airflow(home, monkeypatch, {} if is_away else answers)
    assert main(["watch"]) == 2
    part = "the API server" if is_away else "scheduler"
    assert names(home) == [f"Airflow is not well: {part}"]


def test_what_nobody_took_is_tried_again(home: Home, monkeypatch) -> None:
    findings.note(home, [Finding(kind="stuck", subject="refresh, run run-1")])
    monkeypatch.setattr(findings.notices, "send", lambda *_: False)
    assert findings.tell(home) == []
    monkeypatch.setattr(findings.notices, "send", lambda *_: True)
    assert findings.tell(home) == ["stuck: refresh, run run-1"] and findings.tell(home) == []


def test_the_note_is_its_owners_alone(home: Home) -> None:
    main(["watch"])
    assert home.watch_note.parent.stat().st_mode & 0o077 == 0
    assert home.watch_note.stat().st_mode & 0o077 == 0
