"""A release that waits for a person: what the custodian sees, and who may answer how."""

from __future__ import annotations

import json
import shutil

import pytest
import sqlalchemy as sa
from account_cases import write_account
from request_cases import declare_confidential, open_population, unchanged

from pipeline.dp.events import DiscreteGaussianDpEvent
from portal.custodian.tables import reasons

RELEASE = "clinic-12345678"
WHY_NOT = "The survival curves are far off."


@pytest.fixture
def waiting(at_home):
    """A run of a confidential dataset that waits for its approval, started in Airflow."""
    home = at_home.home
    declare_confidential(home)
    at_home.ledger = open_population(home, "clinic")
    at_home.ledger.reserve(
        RELEASE, "clinic", DiscreteGaussianDpEvent(30.0), by="tests", source_label="first"
    )
    at_home.ledger.begin_training(RELEASE, by="tests", token="token")
    workspace = home.workspace(RELEASE)
    workspace.root.mkdir(parents=True)
    shutil.copyfile(home.params, workspace.params)
    shutil.copyfile(home.datasets / "clinic.yaml", workspace.dataset)
    write_account(workspace.restricted, 80, 77)
    report = workspace.restricted.report
    report.gate.root.mkdir(parents=True)
    report.page.write_text("<html><body>Figures of real patients</body></html>")
    report.gate.results.write_text("{}")
    workspace.restricted.run.write_text(json.dumps({"owner": "run-1", "asked_by": "ann@x.org"}))
    airflow = at_home.custodian.state.airflow
    airflow.stands("run-1", "refresh", "approval", "awaiting_input")
    return at_home


def page(portal, email: str = "custodian@example.org"):
    visitor = portal.somebody("custodian", email)
    visitor.get(f"/approvals/{RELEASE}")
    return visitor


def answer(visitor, option: str, **fields: str):
    return visitor.post(f"/approvals/{RELEASE}", task="approval", answer=option, **fields)


def noted(portal) -> list:
    with portal.custodian.state.engine.begin() as c:
        return c.execute(sa.select(reasons)).all()


def test_all_that_is_decided_by_is_on_one_page(waiting):
    visitor = waiting.somebody("custodian")
    assert f"/approvals/{RELEASE}" in visitor.get("/approvals").text
    text = visitor.get(f"/approvals/{RELEASE}").text
    assert "asked for by ann@x.org" in text and "confidential" in text
    assert "Charged already" in text and "of it is left" in text
    assert "does not parse" in text and "96.2%" in text  # what ingest kept
    assert "keep every rule" in text
    assert "5 of 5" in text and "4 would be left" in text
    assert f'src="/approvals/{RELEASE}/report" sandbox' in text


def test_the_report_is_shown_in_a_box_where_nothing_runs(waiting):
    visitor = waiting.somebody("custodian")
    report = visitor.get(f"/approvals/{RELEASE}/report")
    policy = report.headers["content-security-policy"]
    assert "Figures of real patients" in report.text
    assert policy.startswith("sandbox; default-src 'none'") and "script-src" not in policy
    assert report.headers["x-frame-options"] == "SAMEORIGIN"
    assert report.headers["cache-control"] == "no-store"
    assert visitor.get("/approvals/nothing-1/report").status_code == 404
    assert visitor.get("/approvals/..%2f..%2fstate/report").status_code == 404


@pytest.mark.parametrize("role", ["engineer", "auditor", "administrator"])
def test_only_custodians_come_near_it(waiting, role):
    visitor = waiting.somebody(role)
    for path in ("/approvals", f"/approvals/{RELEASE}", f"/approvals/{RELEASE}/report"):
        assert visitor.get(path).status_code == 403
    assert answer(visitor, "Approve").status_code == 403
    assert waiting.custodian.state.airflow.answers == []


def test_yes_is_answered_in_airflow_for_the_custodian(waiting):
    assert answer(page(waiting), "Approve").status_code == 303
    assert waiting.custodian.state.airflow.answers == [
        ("refresh", "run-1", "approval", "Approve", "custodian@example.org")
    ]


def test_a_no_needs_a_reason_and_to_know_what_it_costs(waiting):
    visitor = page(waiting)
    assert "Write why not" in answer(visitor, "Reject", sure="yes").text
    text = answer(visitor, "Reject", reason=WHY_NOT).text
    assert "what a no costs" in text and f">{WHY_NOT}</textarea>" in text  # kept as it was typed
    assert waiting.custodian.state.airflow.answers == [] and noted(waiting) == []
    assert answer(visitor, "Reject", reason=WHY_NOT, sure="yes").status_code == 303
    assert waiting.custodian.state.airflow.answers[0][3] == "Reject"


def test_a_reason_stays_with_the_custodian_and_the_runs_restricted_folder(waiting):
    visitor = page(waiting)
    with unchanged(waiting):
        answer(visitor, "Reject", reason=WHY_NOT, sure="yes")
    assert [(row.answer, row.reason) for row in noted(waiting)] == [("Reject", WHY_NOT)]
    path = waiting.home.workspace(RELEASE).restricted.reasons
    [line] = path.read_text().splitlines()
    assert json.loads(line)["reason"] == WHY_NOT
    assert WHY_NOT not in str(waiting.custodian.state.airflow.answers)


def test_a_custodian_cannot_answer_for_what_they_asked_for(waiting):
    visitor = page(waiting, "ann@x.org")
    text = visitor.get(f"/approvals/{RELEASE}").text
    assert "somebody else must answer" in text and "Your answer" not in text
    assert answer(visitor, "Approve").status_code == 400
    assert waiting.custodian.state.airflow.answers == []


def test_nor_for_what_they_asked_for_in_airflow(waiting):
    settings = waiting.home.params.read_text()
    settings = settings.replace("airflow_users: {}", "airflow_users: {ann: ann@x.org}")
    (waiting.home.root / "params.yaml").write_text(settings)
    run = waiting.home.workspace(RELEASE).restricted.run
    run.write_text(json.dumps({"owner": "run-1", "asked_by": "ann"}))
    assert answer(page(waiting, "ann@x.org"), "Approve").status_code == 400


def test_an_answer_to_a_question_that_is_no_longer_asked_is_not_given(waiting):
    visitor = page(waiting)
    fields = {"task": "confirmation", "answer": "Approve"}
    assert "another answer now" in visitor.post(f"/approvals/{RELEASE}", **fields).text
    waiting.custodian.state.airflow.stands("run-1", "refresh", "publish")
    assert answer(visitor, "Approve").status_code == 404


def test_before_the_charge_the_account_is_asked_about_and_no_report_is_shown(waiting):
    release = "clinic-00000000"
    home = waiting.home
    shutil.copytree(home.runs / RELEASE, home.runs / release)
    run = home.workspace(release).restricted.run
    run.write_text(json.dumps({"owner": "run-2", "asked_by": "ann@x.org"}))
    waiting.custodian.state.airflow.stands("run-2", "refresh", "confirmation", "awaiting_input")
    text = waiting.somebody("custodian").get(f"/approvals/{release}").text
    assert "Nothing is charged yet" in text and "more like it would fit" in text
    assert "does not parse" in text and "<iframe" not in text
    assert "4 of 5" in text  # the other run trained and did not appear yet


def test_while_airflow_is_away_nothing_is_decided(waiting):
    visitor = page(waiting)
    waiting.custodian.state.airflow.is_away = True
    assert "does not answer now" in visitor.get("/approvals").text
    assert answer(visitor, "Approve").status_code == 400 and noted(waiting) == []


def test_staff_see_every_run_also_those_that_nobody_asked_for_here(waiting):
    visitor = waiting.somebody("engineer")
    text = visitor.get("/runs").text
    assert "run-1" in text and RELEASE in text and "waiting for a person to approve" in text
    text = visitor.get(f"/runs/{RELEASE}").text
    assert "Asked for by ann@x.org" in text and "No stage has ended yet" in text
    assert "Answer it" not in text
    assert visitor.get("/runs/nothing-1").status_code == 404


def test_runs_without_airflow_are_shown_by_what_they_note(waiting):
    note = {"stage": "ingest", "started_ms": 0, "seconds": 8.0, "status": "FINISHED"}
    notes = waiting.home.workspace(RELEASE).restricted.stages
    notes.write_text(json.dumps(note | {"airflow_run": None}) + "\n")
    waiting.custodian.state.airflow.is_away = True
    visitor = waiting.somebody("engineer")
    assert "ingest finished" in visitor.get("/runs").text
    assert "1 January 1970" in visitor.get(f"/runs/{RELEASE}").text


def test_researchers_reach_none_of_it(waiting):
    visitor = waiting.somebody("researcher")
    for path in ("/approvals", f"/approvals/{RELEASE}", "/runs", f"/runs/{RELEASE}"):
        assert visitor.get(path).status_code == 404
