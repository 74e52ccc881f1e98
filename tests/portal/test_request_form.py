"""What a researcher can ask for, and what is said of what cannot be."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from request_cases import MODEL, PURPOSE, ask, publish, told

from pipeline.draw_plan import read_plan
from portal.public.requests import asking
from portal.shared.tables import messages, requests


@pytest.fixture
def ann(at_home):
    publish(at_home.home, MODEL)
    return at_home.somebody("researcher")


def send(visitor, address=f"release={MODEL}", **fields):
    visitor.get(f"/requests/new?{address}")
    values = {"rows": "100", "purpose": PURPOSE, **fields}
    return visitor.post(f"/requests/new?{address}", **values)


def count(portal) -> int:
    with portal.public.state.engine.begin() as c:
        return c.scalar(sa.select(sa.func.count()).select_from(requests))


def test_a_free_draw_comes_first(at_home, ann):
    text = ann.get("/requests/new").text
    assert text.index(f"release={MODEL}") < text.index("A new training") < text.index("adult</h3>")
    assert "This is free" in ann.get(f"/requests/new?release={MODEL}").text
    training = ann.get("/requests/new?dataset=adult").text
    assert "spends a part" in training and f"release={MODEL}" in training


def test_a_draw_is_noted_with_who_asks(at_home, ann):
    row = told(at_home, ask(ann))
    assert (row.kind, row.model_of, row.dataset, row.rows) == ("draw", MODEL, "adult", 100)
    assert (row.email, row.state, row.epsilon) == ("researcher@example.org", "requested", None)
    assert row.quote is None and row.release_id is None


def test_a_training_has_an_epsilon(at_home, ann):
    row = told(at_home, ask(ann, "dataset=adult", epsilon="0.5"))
    assert (row.kind, row.model_of, row.epsilon) == ("training", None, 0.5)


def test_the_fields_of_the_form_become_a_plan(at_home, ann):
    fields = {
        "low:age": "30",
        "where:race": ["White", "Black"],
        "where:native_country": "Mexico; Cuba",
        "share:sex:0": "25%",
        "even:education": "yes",
    }
    plan = read_plan(told(at_home, ask(ann, **fields)).plan)
    assert plan.to_json() == {
        "where": {
            "age": "30..90",
            "race": ["White", "Black"],
            "native_country": ["Mexico", "Cuba"],
        },
        "shares": [
            {"columns": ["education"], "even": True},
            {"columns": ["sex"], "cells": [{"sex": ["Female"], "share": 0.25}]},
        ],
    }


def test_the_text_of_a_plan_is_taken_as_it_is_meant(at_home, ann):
    text = "where: {age: 30..50}\nshares:\n- {columns: [sex], even: true}\n"
    assert read_plan(told(at_home, ask(ann, plan=text)).plan) == read_plan(text)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"plan": "where: {height: 3}"}, "height, which is no static column of adult"),
        ({"plan": "where: {sex: Other}"}, "sex has no value &#39;Other&#39;; it has Female, Male"),
        ({"plan": "where: {age: 1..5}"}, "it lies from 17 to 90"),
        ({"plan": "where: ["}, "is no YAML"),
        ({"plan": "begins: [SURGERY]"}, "the dataset has no events"),
        ({"plan": "where: {age: 30..50}", "low:age": "20"}, "clear one of the two"),
        ({"share:sex:0": "x"}, "per cent from 0 to 100"),
        ({"low:age": "young"}, "is no number"),
        ({"plan": "x" * 20_001}, "more than 20,000"),
        ({"rows": "0"}, "from 1 to 5,000,000"),
        ({"rows": "many"}, "from 1 to 5,000,000"),
        ({"purpose": "for fun"}, "what the extract is for"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_sent(at_home, ann, fields, words):
    answer = send(ann, **fields)
    assert answer.status_code == 400 and words in answer.text and count(at_home) == 0
    assert all(str(value)[:200] in answer.text for value in fields.values())  # as it was typed


@pytest.mark.parametrize("epsilon", ["0", "11", "nan", "strong", ""])
def test_an_epsilon_out_of_range_is_refused(at_home, ann, epsilon):
    assert send(ann, "dataset=adult", epsilon=epsilon).status_code == 400
    assert count(at_home) == 0


@pytest.mark.parametrize("address", ["release=adult-2", "release=../x", "dataset=nothing"])
def test_what_is_not_there_cannot_be_asked_for(ann, address):
    assert ann.get(f"/requests/new?{address}").status_code == 404
    assert ann.post(f"/requests/new?{address}").status_code == 404


def test_a_declaration_under_review_is_none(at_home, ann):
    text = (at_home.home.declarations / "adult.yaml").read_text()
    at_home.home.datasets.mkdir(parents=True)
    (at_home.home.datasets / "adult.yaml").write_text(text)
    (at_home.home.datasets / "draft.yaml").write_text("review: {age: [17, 90]}\n" + text)
    assert ann.get("/requests/new?dataset=draft").status_code == 404
    assert "dataset=draft" not in ann.get("/requests/new").text


def test_the_form_of_pathways_shows_events(at_home, ann):
    answer = ann.get("/requests/new?dataset=simulated_pathways")
    assert answer.status_code == 200 and "<option >SURGERY</option>" in answer.text


def test_nobody_sees_the_request_of_another(at_home, ann):
    number, bob = ask(ann), at_home.somebody("researcher", "bob@example.org")
    assert ann.get(f"/requests/{number}").status_code == 200
    assert bob.get(f"/requests/{number}").status_code == 404
    assert bob.post(f"/requests/{number}/messages", text="hello").status_code == 404
    assert bob.post(f"/requests/{number}/withdraw").status_code == 404
    assert number not in bob.get("/requests").text and number in ann.get("/requests").text


def test_whoever_is_not_signed_in_is_led_to_the_door(at_home):
    assert at_home.visitor().get("/requests").headers["location"].startswith("/sign-in")


def test_a_request_can_be_withdrawn_until_somebody_decides(at_home, ann):
    number = ask(ann)
    assert ann.post(f"/requests/{number}/withdraw").status_code == 303
    assert told(at_home, number).state == "withdrawn"
    answer = ann.post(f"/requests/{number}/withdraw")
    assert answer.status_code == 400 and "no longer" in answer.text


def test_messages_stay_with_the_request(at_home, ann):
    number = ask(ann)
    assert ann.post(f"/requests/{number}/messages", text=" <b>When?</b> ").status_code == 303
    assert "&lt;b&gt;When?&lt;/b&gt;" in ann.get(f"/requests/{number}").text
    assert ann.post(f"/requests/{number}/messages", text=" ").status_code == 400
    with at_home.public.state.engine.begin() as c:
        [row] = c.execute(sa.select(messages)).all()
    assert (row.request, row.email, row.role) == (number, "researcher@example.org", "researcher")


def test_nobody_has_more_than_some_open_requests(at_home, ann, monkeypatch):
    monkeypatch.setattr(asking, "MOST_OPEN", 2)
    number = ask(ann)
    ask(ann)
    assert "2 is the most" in send(ann).text
    ann.post(f"/requests/{number}/withdraw")
    assert send(ann).status_code == 303
