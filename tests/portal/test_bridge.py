"""The bridge: each approved request is started once, and followed as its data allow."""

from __future__ import annotations

import asyncio
import sqlite3

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
    unchanged,
)

from pipeline.services import notices
from portal.custodian import bridge as bridge_module
from portal.custodian import dispatch
from portal.custodian.bridge import Bridge
from portal.custodian.tables import dispatches
from portal.shared import database, states
from portal.shared.tables import requests

TICK = 24 * 3600


@pytest.fixture
def sent(monkeypatch):
    """The notices that went out: (to, subject, text)."""
    gone = []
    monkeypatch.setattr(
        notices, "send", lambda settings, to, subject, text: gone.append((*to, subject, text))
    )
    return gone


@pytest.fixture
def place(at_home, sent):
    publish(at_home.home, MODEL)
    at_home.home.root.mkdir(exist_ok=True)
    return at_home


def draw(portal) -> str:
    return ask(portal.somebody("researcher"))


def approved_training(portal, dataset: str) -> str:
    number = ask(portal.somebody("researcher"), f"dataset={dataset}")
    state = portal.custodian.state
    row = told(portal, number)
    dispatch.approve(state.home, state.engine, state.exchange, row, "custodian@example.org")
    return number


def noted(portal, number: str):
    with portal.custodian.state.engine.begin() as c:
        return c.execute(sa.select(dispatches).where(dispatches.c.id == number)).one()


def look(portal) -> None:
    portal.custodian.state.bridge.look()


@pytest.fixture
def clinic(place):
    """A confidential training, approved and sent."""
    declare_confidential(place.home)
    open_population(place.home, "clinic")
    declare_source(place.home, "clinic")
    number = approved_training(place, "clinic")
    look(place)
    return number


def test_a_free_draw_starts_by_itself_once_under_its_own_id(place):
    number, airflow = draw(place), place.custodian.state.airflow
    look(place)
    look(place)
    assert list(airflow.states) == [("request", number)]
    assert airflow.forms["request", number] == {
        "kind": "draw",
        "dataset": "adult",
        "model_of": MODEL,
        "rows": 100,
        "epsilon": None,
        "plan": None,
        "approved_by": dispatch.BY_ITSELF,
        "asked_by": "researcher@example.org",
        "release_id": f"adult-{number}",
    }
    row = told(place, number)
    assert row.state == "in progress" and "free" in row.quote


def test_with_the_setting_off_a_draw_waits_for_a_custodian(place):
    (place.home.root / "params.yaml").write_text(
        place.home.params.read_text().replace(
            "draws_by_themselves: true", "draws_by_themselves: false"
        )
    )
    number = draw(place)
    look(place)
    assert place.custodian.state.airflow.states == {} and told(place, number).state == "requested"


def test_a_training_never_starts_by_itself(place):
    number = ask(place.somebody("researcher"), "dataset=adult")
    look(place)
    assert place.custodian.state.airflow.states == {}
    row = told(place, number)
    assert row.state == "requested" and "more like it would fit" in row.quote


def test_a_run_whose_start_was_not_heard_of_is_not_started_again(place):
    number, airflow = draw(place), place.custodian.state.airflow
    airflow.loses_answers = True
    look(place)
    assert noted(place, number).step == dispatch.APPROVED
    airflow.loses_answers = False
    airflow.stands(number, "request", "check")
    state = place.custodian.state
    Bridge(state.home, state.engine, state.exchange, airflow).look()  # after a restart
    assert list(airflow.states) == [("request", number)]
    assert told(place, number).stage == "checking the request"


def test_it_survives_airflow_being_away(place):
    number, airflow = draw(place), place.custodian.state.airflow
    airflow.is_away = True
    look(place)
    assert told(place, number).state == "in progress" and airflow.states == {}
    airflow.is_away = False
    look(place)
    assert airflow.states == {("request", number): "running"}
    airflow.is_away = True
    look(place)
    assert told(place, number).state == "in progress"


@pytest.mark.parametrize("status", [500, 404, 403])
def test_an_airflow_that_says_no_for_now_is_asked_again(place, status):
    number, airflow = draw(place), place.custodian.state.airflow
    airflow.refuses = status
    look(place)
    airflow.refuses = 0
    look(place)
    assert ("request", number) in airflow.states


def test_a_form_that_airflow_refuses_stops_the_request(place, sent):
    number = draw(place)
    place.custodian.state.airflow.refuses = 400
    look(place)
    assert told(place, number).state == "stopped" and len(sent) == 1


def test_public_data_are_followed_stage_by_stage(place, sent):
    declare_source(place.home, "adult")
    number = approved_training(place, "adult")
    airflow = place.custodian.state.airflow
    seen = []
    look(place)
    for dag, task, state in (
        ("request", "check", "running"),
        ("request", "train", "deferred"),
        ("refresh", "ingest", "running"),
        ("refresh", "confirmation", "awaiting_input"),
        ("refresh", "train", "queued"),
        ("refresh", "approval", "awaiting_input"),
        ("refresh", "publish", "running"),
    ):
        airflow.stands(number, dag, task, state)
        look(place)
        row = told(place, number)
        seen.append((row.state, row.stage))
    assert seen == [
        ("in progress", "checking the request"),
        ("in progress", "waiting for its turn"),
        ("in progress", "reading the source"),
        ("awaiting approval", "waiting for a person to confirm the source"),
        ("in progress", "training"),
        ("awaiting approval", "waiting for a person to approve"),
        ("in progress", "publishing"),
    ]
    publish(place.home, f"adult-{number}")
    airflow.ends(number)
    look(place)
    row = told(place, number)
    assert (row.state, row.stage, row.release_id) == ("published", None, f"adult-{number}")
    look(place)
    [(to, subject, text)] = sent
    assert to == "researcher@example.org" and subject.endswith("is published")
    assert number in text


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_run_that_published_nothing_is_stopped_whatever_it_was(place, sent, state):
    number = draw(place)
    look(place)
    place.custodian.state.airflow.ends(number, state)
    look(place)
    row = told(place, number)
    assert (row.state, row.stage, row.release_id) == ("stopped", None, None) and len(sent) == 1


def test_a_run_that_somebody_removed_is_stopped(place):
    number, airflow = draw(place), place.custodian.state.airflow
    look(place)
    airflow.states.clear()
    look(place)
    assert told(place, number).state == "stopped" and airflow.states == {}


def test_of_confidential_data_nothing_is_written_between_ticks(place, clinic, sent):
    airflow = place.custodian.state.airflow
    with unchanged(place):
        for task, state in (
            ("ingest", "running"),
            ("confirmation", "awaiting_input"),
            ("train", "running"),
            ("approval", "awaiting_input"),
        ):
            airflow.stands(clinic, "refresh", task, state)
            look(place)
            assert noted(place, clinic).stage == task  # staff see it at once
        airflow.ends(clinic, "failed")
        look(place)
    assert noted(place, clinic).state == "stopped" and sent == []


def test_a_write_between_ticks_would_be_noticed(place, clinic):
    engine = place.public.state.engine
    with pytest.raises(AssertionError), unchanged(place), engine.begin() as c:
        states.move(c, clinic, states.AWAITING, 1)


@pytest.mark.parametrize(
    ("task", "state", "shown"),
    [
        ("train", "running", "in progress"),
        ("confirmation", "awaiting_input", "in progress"),  # not that it is before the charge
        ("approval", "awaiting_input", "awaiting approval"),
    ],
)
def test_a_tick_shows_a_state_and_no_stage(place, clinic, task, state, shown):
    place.custodian.state.airflow.stands(clinic, "refresh", task, state)
    look(place)
    at = (database.now() // TICK + 1) * TICK
    place.custodian.state.bridge.tick(at)
    row = told(place, clinic)
    assert (row.state, row.stage) == (shown, None)
    assert row.state_at == at or shown == "in progress"


def test_a_tick_shows_what_was_so_then_and_not_what_came_since(place, clinic):
    place.custodian.state.airflow.stands(clinic, "refresh", "approval", "awaiting_input")
    look(place)
    with unchanged(place):
        place.custodian.state.bridge.tick(noted(place, clinic).state_at - 1)
    assert told(place, clinic).state == "in progress"


def test_the_end_is_told_on_a_tick_and_once(place, clinic, sent):
    publish(place.home, f"clinic-{clinic}", "clinic")
    place.custodian.state.airflow.ends(clinic)
    look(place)
    assert sent == [] and told(place, clinic).state == "in progress"
    for day in (1, 2):
        place.custodian.state.bridge.tick((database.now() // TICK + day) * TICK)
    assert told(place, clinic).state == "published" and len(sent) == 1


def test_what_is_left_of_a_confidential_budget_is_told_on_ticks(place, clinic):
    number = ask(place.somebody("researcher", "bob@example.org"), "dataset=clinic")
    with unchanged(place):
        look(place)
    place.custodian.state.bridge.tick(database.now() // TICK * TICK)
    assert "more like it would fit" in told(place, number).quote


def test_with_live_off_all_are_followed_by_the_clock(place):
    (place.home.root / "params.yaml").write_text(
        place.home.params.read_text().replace("  live: true", "  live: false")
    )
    number = draw(place)
    look(place)
    place.custodian.state.airflow.ends(number)
    with unchanged(place):
        look(place)
    assert noted(place, number).state == "stopped"


def test_a_population_that_the_ledger_calls_confidential_is(place):
    declare_confidential(place.home)
    open_population(place.home, "clinic")
    path = place.home.datasets / "clinic.yaml"
    path.write_text(
        path.read_text()
        .replace("kind: confidential", "kind: public")
        .replace("public: false", "public: true")
    )
    assert not noted(place, approved_training(place, "clinic")).is_live


def test_beside_a_confidential_population_nothing_is_followed_live(place):
    """Runs share a host, and those of a population wait for each other: how a public one goes tells
    how a confidential one does.
    """
    declare_source(place.home, "adult")
    number = approved_training(place, "adult")
    row = told(place, number)
    assert dispatch.may_follow(place.home, row)
    declare_confidential(place.home)
    open_population(place.home, "clinic")
    assert not dispatch.may_follow(place.home, row)


def test_an_approval_cut_short_is_finished(place, monkeypatch):
    """Killed after the decision was noted and before it was shown."""
    number = ask(place.somebody("researcher"), "dataset=adult")
    state = place.custodian.state
    monkeypatch.setattr(dispatch, "settle", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dispatch.approve(state.home, state.engine, state.exchange, told(place, number), "c@x.org")
    monkeypatch.undo()
    monkeypatch.setenv("SYNDASERA_HOME", str(place.home.root))
    assert told(place, number).state == "requested"
    look(place)
    assert told(place, number).state == "in progress"
    assert ("request", number) in place.custodian.state.airflow.states


def test_an_approval_after_a_withdrawal_is_void(place):
    ann = place.somebody("researcher")
    number = ask(ann, "dataset=adult")
    row, state = told(place, number), place.custodian.state
    ann.post(f"/requests/{number}/withdraw")
    with pytest.raises(ValueError, match="withdrawn"):
        dispatch.approve(state.home, state.engine, state.exchange, row, "c@example.org")
    look(place)
    assert noted(place, number).step == dispatch.VOID and state.airflow.states == {}


def test_what_was_approved_is_sent_whatever_the_public_database_says_since(place):
    number = ask(place.somebody("researcher"), "dataset=adult", epsilon="0.5")
    state = place.custodian.state
    dispatch.approve(state.home, state.engine, state.exchange, told(place, number), "c@x.org")
    with place.public.state.engine.begin() as c:
        c.execute(sa.update(requests).values(epsilon=10.0, rows=5, email="eve@example.org"))
    look(place)
    form = state.airflow.forms["request", number]
    assert (form["epsilon"], form["rows"], form["asked_by"]) == (
        0.5,
        100,
        "researcher@example.org",
    )


def test_a_request_that_says_by_itself_that_it_is_approved_is_not(place):
    number = ask(place.somebody("researcher"), "dataset=adult")
    with place.public.state.engine.begin() as c:
        c.execute(sa.update(requests).values(state=states.IN_PROGRESS))
    look(place)
    assert place.custodian.state.airflow.states == {} and number


def test_the_clock_ticks_at_fixed_times_however_the_machine_sleeps(place, monkeypatch):
    """Its clock is the test's: every sleep is a quarter longer than it should be."""
    time, ticks, bridge = [1000.0], [], place.custodian.state.bridge

    async def sleep(seconds):
        assert seconds <= bridge_module.LONGEST_SLEEP
        time[0] += 1.25 * seconds
        if len(ticks) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(bridge_module, "now", lambda: int(time[0]))
    monkeypatch.setattr(bridge_module.asyncio, "sleep", sleep)
    monkeypatch.setattr(bridge, "tick", lambda at: ticks.append((at, time[0] - at)))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(bridge._tick_for_ever())
    assert [at for at, _ in ticks] == [TICK, 2 * TICK, 3 * TICK]
    assert all(0 <= late <= bridge_module.LONGEST_SLEEP for _, late in ticks)


@pytest.mark.parametrize(
    "values",
    [
        {"id": "../../x"},
        {"id": "~"},
        {"model_of": "../../../adult-1"},
        {"model_of": None},
        {"kind": "training", "dataset": "../adult"},
        {"kind": "other", "dataset": "adult"},
    ],
)
def test_what_a_foreign_hand_writes_starts_nothing_and_holds_nobody_up(place, values):
    """The public process may be in somebody's hands: its rows are read with care."""
    row = told(place, draw(place))._asdict() | {"id": "00000001"} | values
    with place.public.state.engine.begin() as c:
        c.execute(sa.delete(requests))
        c.execute(sa.insert(requests).values(**row))
    ann = place.visitor()
    ann.sign_in("researcher@example.org")
    number = ask(ann)
    look(place)
    assert list(place.custodian.state.airflow.states) == [("request", number)]
    assert told(place, row["id"]).state == "requested"


def test_settings_that_are_broken_for_a_moment_are_waited_for(place):
    number, path = draw(place), place.home.root / "params.yaml"
    path.write_text("portal: {status_hours: [")
    look(place)
    path.unlink()
    look(place)
    assert ("request", number) in place.custodian.state.airflow.states


def test_an_error_of_one_pass_is_noted_by_its_type_alone(caplog):
    with bridge_module._noting_errors("look"):
        raise sqlite3.OperationalError("patient 4711")
    assert "OperationalError" in caplog.text and "4711" not in caplog.text
