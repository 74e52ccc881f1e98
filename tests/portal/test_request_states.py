"""Which state of a request may follow which."""

from __future__ import annotations

import itertools

import pytest
import sqlalchemy as sa
from request_cases import MODEL, ask, publish, told

from portal.shared import states
from portal.shared.tables import requests

EVERY = (states.REQUESTED, *states.BEFORE)
LEGAL = {
    ("requested", "in progress"),
    ("requested", "declined"),
    ("requested", "withdrawn"),
    ("in progress", "awaiting approval"),
    ("in progress", "published"),
    ("in progress", "stopped"),
    ("awaiting approval", "in progress"),
    ("awaiting approval", "published"),
    ("awaiting approval", "stopped"),
}


@pytest.fixture
def number(at_home):
    publish(at_home.home, MODEL)
    return ask(at_home.somebody("researcher"))


def test_every_pair_of_states(at_home, number):
    moved = set()
    for before, after in itertools.product(EVERY, states.BEFORE):
        with at_home.public.state.engine.begin() as c:
            c.execute(sa.update(requests).values(state=before, stage=None))
            if states.move(c, number, after, 1):
                moved.add((before, after))
    assert moved == LEGAL


def test_a_state_keeps_its_time_while_its_stage_changes(at_home, number):
    with at_home.public.state.engine.begin() as c:
        assert states.move(c, number, states.IN_PROGRESS, 100)
        assert states.move(c, number, states.IN_PROGRESS, 200, stage="training")
        assert not states.move(c, number, states.IN_PROGRESS, 300, stage="training")
    row = told(at_home, number)
    assert (row.state, row.stage, row.state_at) == ("in progress", "training", 100)


def test_every_state_is_explained_and_is_one_of_the_words_that_researchers_know():
    assert set(states.MEANING) == set(EVERY)
    assert set(states.ENDS) == {"published", "stopped", "declined", "withdrawn"}


def test_of_two_who_move_at_once_one_finds_nothing_to_move(at_home, number):
    with at_home.public.state.engine.begin() as c:
        assert states.move(c, number, states.WITHDRAWN, 1)
    with at_home.custodian.state.exchange.begin() as c:
        assert not states.move(c, number, states.IN_PROGRESS, 1)
