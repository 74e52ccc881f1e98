"""Somebody else has hold of the public process, and writes what they like into its database."""

from __future__ import annotations

import pytest
import release_cases
import sqlalchemy as sa
from request_cases import MODEL, PURPOSE, ask, declare_source, publish, told

from pipeline.services import notices
from portal.custodian import dispatch
from portal.custodian.tables import dispatches
from portal.shared.tables import requests


@pytest.fixture
def place(at_home):
    publish(at_home.home, MODEL)
    at_home.home.root.mkdir(exist_ok=True)
    return at_home


def forge(portal, number: str, **values: object) -> None:
    """A request that no form was sent for."""
    values = {
        "created_at": 1, "email": "ann@example.org", "name": "Ann", "organisation": "Trust",
        "kind": "draw", "dataset": "adult", "model_of": MODEL, "rows": 10, "purpose": PURPOSE,
        "state": "requested", "state_at": 1, **values,
    }  # fmt: skip
    with portal.public.state.engine.begin() as c:
        c.execute(sa.insert(requests).values(id=number, **values))


def change(portal, number: str, **values: object) -> None:
    with portal.public.state.engine.begin() as c:
        c.execute(sa.update(requests).where(requests.c.id == number).values(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"email": "Ann@Example.org"},  # not as accounts are kept: two spellings are two people
        {"email": "ann@example.org, bob@example.org"},
        {"email": "ann@example.org\nBcc: bob@example.org"},
        {"email": "nobody"},
        {"dataset": "cancer_pathways"},  # the release would be called after what it is not
        {"dataset": "../../adult"},
        {"model_of": "../adult-1"},
        {"kind": "else"},
    ],
)
def test_a_request_that_no_form_makes_is_not_started(place, values):
    forge(place, "00000001", **values)
    place.custodian.state.bridge.look()
    state = place.custodian.state
    with pytest.raises(dispatch.Refusal):
        dispatch.approve(
            state.home, state.engine, state.exchange, told(place, "00000001"), "c@example.org"
        )
    with state.engine.begin() as c:
        assert c.execute(sa.select(dispatches)).all() == []
    place.custodian.state.bridge.look()
    assert state.airflow.states == {}


def test_one_that_cannot_be_told_keeps_no_other_from_being_shown(place, monkeypatch):
    told_of = []

    def trip(_settings, to, *_words):
        told_of.append(to)
        raise IndexError

    monkeypatch.setattr(notices, "send", trip)
    numbers = [ask(place.somebody("researcher", f"{name}@example.org")) for name in ("ann", "bob")]
    place.custodian.state.bridge.look()
    for number in numbers:
        place.custodian.state.airflow.ends(number, "failed")
    place.custodian.state.bridge.look()
    assert {told(place, number).state for number in numbers} == {"stopped"}
    assert len(told_of) == 2


def test_what_was_approved_once_is_not_approved_again_as_something_else(place):
    declare_source(place.home, "adult")
    number = ask(place.somebody("researcher"), "dataset=adult")
    state = place.custodian.state
    dispatch.approve(state.home, state.engine, state.exchange, told(place, number), "c@example.org")
    change(place, number, state="requested", epsilon=9.0)
    with pytest.raises(dispatch.Refusal, match="decided"):
        dispatch.approve(
            state.home, state.engine, state.exchange, told(place, number), "c@example.org"
        )


def test_the_lineage_names_who_asked_as_it_was_approved(place):
    number = ask(place.somebody("researcher"))
    place.custodian.state.bridge.look()
    release_id = f"adult-{number}"
    release_cases.publish(place.home, "first-1")
    release_cases.publish(place.home, release_id, drawn_from="first-1")
    change(place, number, email="mallory@example.org", release_id=None)
    forge(place, "00000002", email="mallory@example.org", release_id=release_id)
    page = place.somebody("auditor").get(f"/audit/releases/{release_id}").text
    assert "researcher@example.org" in page and "mallory" not in page


def test_an_epsilon_that_no_noise_fits_can_still_be_declined(place):
    declare_source(place.home, "adult")
    number = ask(place.somebody("researcher"), "dataset=adult", epsilon="1e-9")
    custodian = place.somebody("custodian")
    page = custodian.get(f"/requests/{number}")
    assert page.status_code == 200 and "epsilon" in page.text
    assert custodian.post(f"/requests/{number}/decline", text="Too small.").status_code == 303
