"""`check-request`: what is refused before anything is started; a source released again."""

from __future__ import annotations

import pytest

from pipeline.cli import requests
from pipeline.cli.ledger import ensure_population
from pipeline.cli.parser import main
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger
from pipeline.runs import sources
from pipeline.runs.declarations import declaration_path
from pipeline.schema.reader import read_schema
from pipeline.stages import UNCHANGED

TRAINING = ["check-request", "--kind", "training", "--dataset", "adult", "--epsilon", "1"]
PEOPLE = ["--asked-by", "ann@x.org", "--approved-by", "carla@x.org"]


@pytest.fixture
def declared(home, source):
    sources.declare(home, "adult", sources.Source(path=str(source), label="first"))
    return home


def charge(home, sigma: float) -> Ledger:
    schema = read_schema(declaration_path("adult"))
    ensure_population(home, schema)
    ledger = Ledger(home.ledger)
    event = DiscreteGaussianDpEvent(sigma)
    ledger.reserve("adult-1", "adult", event, by="tests", source_label="first")
    return ledger


def test_a_training_that_fits_is_checked_and_nothing_is_entered(declared):
    assert main([*TRAINING, *PEOPLE]) == 0
    assert main([*TRAINING, *PEOPLE, "--plan", "where: {age: 30..50}"]) == 0
    assert Ledger(declared.ledger).entries() == []


def test_nobody_approves_what_they_asked_for(declared, capsys):
    assert main([*TRAINING, "--asked-by", "ann@x.org", "--approved-by", " ANN@x.org"]) == 2
    assert "somebody else must approve" in capsys.readouterr().err


def test_a_budget_that_is_gone_is_said(declared, capsys):
    population = read_schema(declaration_path("adult")).population
    ensure_population(declared, read_schema(declaration_path("adult")))
    opened = Ledger(declared.ledger).population(population.name)
    ledger = charge(declared, (opened.order / (2 * 0.995 * opened.limit_rdp)) ** 0.5)
    assert main([*TRAINING, *PEOPLE]) == 2
    said = capsys.readouterr().err
    assert "has no room for a training at epsilon 1" in said and "smaller epsilon" in said
    assert len(ledger.reservations("adult")) == 1


def test_refusals_that_are_used_up_are_said(declared, capsys, monkeypatch):
    charge(declared, 1000.0)
    monkeypatch.setattr(Ledger, "refusals_left", lambda *_: 0)
    assert main([*TRAINING, *PEOPLE]) == 2
    assert "takes no further one" in capsys.readouterr().err


def test_a_training_without_a_source_is_refused(home, capsys):
    assert main([*TRAINING, *PEOPLE]) == 2
    assert "no source of adult is declared" in capsys.readouterr().err


def test_a_plan_that_does_not_fit_is_refused(declared, capsys):
    assert main([*TRAINING, *PEOPLE, "--plan", "where: {height: 3}"]) == 2
    assert "height, which is no static column" in capsys.readouterr().err


def test_a_draw_needs_a_published_model(declared, capsys, monkeypatch):
    draw = ["check-request", "--kind", "draw", "--model-of", "adult-1", *PEOPLE]
    monkeypatch.setattr(requests.version_stores, "is_tagged", lambda *_: False)
    assert main(draw) == 2
    assert "no published release adult-1" in capsys.readouterr().err


def test_a_source_is_released_again_where_that_is_asked_for(declared):
    charge(declared, 1000.0)
    check = ["check-source", "--dataset", "adult"]
    assert main(check) == UNCHANGED
    assert main([*check, "--again", ""]) == UNCHANGED
    assert main([*check, "--again", "yes"]) == 0
