"""The custodian's side of a request: what it costs, yes, no, and messages."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from request_cases import (
    MODEL,
    ask,
    declare_confidential,
    declare_source,
    open_population,
    publish,
    told,
)

from pipeline.dp.events import DiscreteGaussianDpEvent
from portal.custodian.tables import dispatches
from portal.shared.tables import actions, requests


@pytest.fixture
def clinic(at_home):
    """A home with a confidential dataset that may be trained on."""
    declare_confidential(at_home.home)
    at_home.ledger = open_population(at_home.home, "clinic")
    declare_source(at_home.home, "clinic")
    return at_home


@pytest.fixture
def number(clinic):
    return ask(clinic.somebody("researcher"), "dataset=clinic")


def seen(visitor, number: str) -> str:
    text = visitor.get(f"/requests/{number}").text
    return text.partition('name="sight" value="')[2].partition('"')[0]


def approve(visitor, number: str):
    return visitor.post(f"/requests/{number}/approve", sight=seen(visitor, number) or "none")


def test_the_page_tells_what_it_costs_before_anything_is_reserved(clinic, number):
    text = clinic.somebody("custodian").get(f"/requests/{number}").text
    assert "what is left of the privacy budget" in text and "Approve and start it" in text
    assert "5 of 5 are left" in text and "three like" not in text
    assert [entry.kind for entry in clinic.ledger.entries()] == ["opened"]


def test_yes_starts_it_once_under_the_custodians_name(clinic, number):
    custodian, airflow = clinic.somebody("custodian"), clinic.custodian.state.airflow
    assert approve(custodian, number).status_code == 303
    assert told(clinic, number).state == "in progress"
    clinic.custodian.state.bridge.look()
    form = airflow.forms["request", number]
    assert form["approved_by"] == "custodian@example.org" and form["kind"] == "training"
    assert "in progress already" in custodian.post(
        f"/requests/{number}/approve", sight="x"
    ).text or (approve(custodian, number).status_code == 400)
    clinic.custodian.state.bridge.look()
    assert list(airflow.states) == [("request", number)]


def test_nobody_approves_their_own_request(clinic):
    number = ask(clinic.somebody("researcher", "carla@example.org"), "dataset=clinic")
    carla = clinic.somebody("custodian", "carla@example.org")
    page = carla.get(f"/requests/{number}").text
    assert "your own request" in page and "Approve and start it" not in page
    right = seen(clinic.somebody("custodian", "dan@example.org"), number)
    answer = carla.post(f"/requests/{number}/approve", sight=right)
    assert answer.status_code == 400 and "somebody else must approve" in answer.text
    assert told(clinic, number).state == "requested"


def test_what_changed_since_it_was_read_is_not_approved(clinic, number):
    custodian = clinic.somebody("custodian")
    before = seen(custodian, number)
    with clinic.public.state.engine.begin() as c:
        c.execute(sa.update(requests).values(epsilon=9.0))
    answer = custodian.post(f"/requests/{number}/approve", sight=before)
    assert answer.status_code == 400 and "changed since" in answer.text
    with clinic.custodian.state.engine.begin() as c:
        assert c.execute(sa.select(dispatches)).all() == []


def spend(clinic, releases: int, sigma: float) -> None:
    for place in range(releases):
        clinic.ledger.reserve(
            f"spent-{place}",
            "clinic",
            DiscreteGaussianDpEvent(sigma),
            by="tests",
            source_label="first",
        )


def test_a_budget_that_is_gone_is_refused_politely_and_nothing_is_started(clinic, number):
    custodian = clinic.somebody("custodian")
    before = seen(custodian, number)
    limit = clinic.ledger.population("clinic").limit_rdp
    order = clinic.ledger.population("clinic").order
    spend(clinic, 1, (order / (2 * 0.995 * limit)) ** 0.5)
    page = custodian.get(f"/requests/{number}").text
    assert "has no room for a training" in page and "Approve and start it" not in page
    answer = custodian.post(f"/requests/{number}/approve", sight=before)
    assert answer.status_code == 400 and "draw from a published model" in answer.text
    clinic.custodian.state.bridge.look()
    assert clinic.custodian.state.airflow.states == {}


def test_with_no_refusal_left_nothing_is_started(clinic, number):
    spend(clinic, 5, 1000.0)
    for place in range(5):
        clinic.ledger.abandon(f"spent-{place}", "refused", "tests")
    page = clinic.somebody("custodian").get(f"/requests/{number}").text
    assert "0 of 5 are left" in page and "Approve and start it" not in page


def test_a_dataset_without_a_source_cannot_be_trained_on(at_home):
    number = ask(at_home.somebody("researcher"), "dataset=adult")
    assert "no source of adult" in at_home.somebody("custodian").get(f"/requests/{number}").text


def test_a_no_comes_with_words_and_before_the_ledger(clinic, number):
    custodian = clinic.somebody("custodian")
    custodian.get(f"/requests/{number}")
    assert custodian.post(f"/requests/{number}/decline", text=" ").status_code == 400
    assert told(clinic, number).state == "requested"
    assert custodian.post(f"/requests/{number}/decline", text="Draw first.").status_code == 303
    assert told(clinic, number).state == "declined"
    assert [entry.kind for entry in clinic.ledger.entries()] == ["opened"]
    answer = custodian.post(f"/requests/{number}/decline", text="Again.")
    assert answer.status_code == 400 and "decided meanwhile" in answer.text
    ann = clinic.visitor()
    ann.sign_in("researcher@example.org")
    page = ann.get(f"/requests/{number}").text
    assert "Draw first." in page and "Again." not in page and "welcome to ask again" in page


def test_messages_go_both_ways_and_custodians_stay_without_a_name(clinic, number):
    custodian = clinic.somebody("custodian")
    custodian.get(f"/requests/{number}")
    custodian.post(f"/requests/{number}/messages", text="Which stages?")
    ann = clinic.visitor()
    ann.sign_in("researcher@example.org")
    page = ann.get(f"/requests/{number}").text
    assert "Which stages?" in page and "custodian@example.org" not in page


@pytest.mark.parametrize("role", ["engineer", "auditor"])
def test_others_of_the_staff_may_read_and_nothing_else(clinic, number, role):
    visitor = clinic.somebody(role)
    assert number in visitor.get("/requests").text
    page = visitor.get(f"/requests/{number}").text
    assert "Approve and start it" not in page and "Write a message" not in page
    for what in ("approve", "decline", "messages"):
        answer = visitor.post(f"/requests/{number}/{what}", sight="x", text="x")
        assert answer.status_code == 403
    assert told(clinic, number).state == "requested"


def test_an_administrator_reads_no_request(clinic, number):
    assert clinic.somebody("administrator").get(f"/requests/{number}").status_code == 403


def test_what_custodians_do_is_in_the_log_of_actions(clinic, number):
    approve(clinic.somebody("custodian"), number)
    with clinic.custodian.state.engine.begin() as c:
        rows = c.execute(sa.select(actions.c.action, actions.c.subject)).all()
    assert ("approved a request", number) in [tuple(row) for row in rows]


def test_staff_see_how_far_a_confidential_run_is_and_researchers_do_not(clinic, number):
    custodian = clinic.somebody("custodian")
    approve(custodian, number)
    clinic.custodian.state.bridge.look()
    clinic.custodian.state.airflow.stands(number, "refresh", "train")
    clinic.custodian.state.bridge.look()
    assert "training" in custodian.get("/requests").text
    ann = clinic.visitor()
    ann.sign_in("researcher@example.org")
    page = ann.get(f"/requests/{number}").text
    assert "in progress" in page and "Now:" not in page


def test_a_free_draw_has_no_refusals_to_count(at_home):
    publish(at_home.home, MODEL)
    number = ask(at_home.somebody("researcher"))
    page = at_home.somebody("custodian").get(f"/requests/{number}").text
    assert "This is free" in page and "counts for ever" not in page
