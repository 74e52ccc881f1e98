"""A ledger that lost its newest entries charges nothing: the heads noted in the home and in MLflow
tell.
"""

from __future__ import annotations

import argparse
import sqlite3

import pytest
from charged_cases import declared, settings

from pipeline import files
from pipeline.catalog import Home, Workspace
from pipeline.cli.ledger import abandon, verify
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger
from pipeline.restricted import approve, reserve
from pipeline.runs import chain_heads
from pipeline.services import tracking


def cut_off(home: Home, kind: str) -> None:
    """The last entry goes, which must be of this kind."""
    with sqlite3.connect(home.ledger_file) as database:
        for name in ("changed", "deleted"):
            database.execute(f"DROP TRIGGER entry_is_never_{name}")
        last = database.execute("SELECT max(number), kind FROM entry").fetchone()
        assert last[1] == kind
        database.execute("DELETE FROM entry WHERE number = ?", last[:1])


@pytest.fixture
def ledger(workspace: Workspace) -> Ledger:
    """Holds one release more, reserved."""
    ledger = Ledger(Home.find().ledger)
    ledger.reserve(
        "toy-0", "toy", DiscreteGaussianDpEvent(50.0), by="tests", source_label="earlier"
    )
    return ledger


def publish(ledger: Ledger) -> None:
    ledger.commit("toy-0", {"manifest": "x"})
    chain_heads.note(Home.find(), "toy-0")


def refuse(ledger: Ledger) -> None:
    approve._abandon("toy-0", "custodian")


def give_up(ledger: Ledger) -> None:
    abandon(argparse.Namespace(release="toy-0", reason="the disk broke"))


def end_training(ledger: Ledger) -> None:
    ledger.begin_training("toy-0", "tests", "token")
    ledger.note_model("toy-0", "tests", "a" * 64)
    chain_heads.note(Home.find(), "toy-0")


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (publish, "released"),
        (refuse, "abandoned"),
        (give_up, "abandoned"),
        (end_training, "trained"),
    ],
)
def test_a_last_entry_that_is_gone_is_found(
    workspace: Workspace, ledger: Ledger, last, kind: str
) -> None:
    last(ledger)
    assert verify(argparse.Namespace()) == 0
    cut_off(Home.find(), kind)
    ledger.verify()  # the chain alone cannot show it
    before = ledger.entries()
    for ask in (
        lambda: verify(argparse.Namespace()),
        lambda: reserve.run(workspace, settings(), declared(workspace)),
    ):
        with pytest.raises(ValueError, match="noted on the note of toy-0 is not in the ledger"):
            ask()
    assert ledger.entries() == before


def test_the_heads_in_mlflow_are_asked_before_a_charge(
    workspace: Workspace, ledger: Ledger
) -> None:
    home = Home.find()
    tracking.ensure(home)
    client = tracking.client_of(home)
    place = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    for number, tag in enumerate(("ledger_head", "last_head")):
        run = client.create_run(place, run_name=f"toy-0-{number}").info.run_id
        client.set_tag(run, tag, ledger.chain_head())
    assert len(tracking.tracked_chain_heads(home)) == 2
    cut_off(home, "reserved")
    with pytest.raises(ValueError, match=r"noted on the MLflow run toy-0.*\(and 1 more\)"):
        reserve.run(workspace, settings(), declared(workspace))
    assert ledger.balance("toy").n_releases == 0
    home.mlflow_database.write_bytes(b"no database at all, and long enough to be read " * 100)
    with pytest.raises(ValueError, match=r"mlflow\.db cannot be read"):
        reserve.run(workspace, settings(), declared(workspace))
    home.mlflow_database.unlink()
    reserve.run(workspace, settings(), declared(workspace))
    assert ledger.balance("toy").n_releases == 1


def test_notes_outlive_their_runs(workspace: Workspace, ledger: Ledger) -> None:
    publish(ledger)
    note = Home.find().chain_heads / "toy-0.json"
    assert files.read_json(note) == {"head": ledger.chain_head(), "entry": 3}
    assert note.parent.stat().st_mode & 0o077 == 0
