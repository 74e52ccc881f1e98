"""One permanent key for a population's whole life: never made anew, never another one."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

import pytest
from charged_cases import declared, settings
from ingest_cases import HEART, Bench, heart_row, write_csv

from pipeline.catalog import Home, Workspace, project_root
from pipeline.cli.ledger import ensure_population, show
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger
from pipeline.restricted import reserve
from pipeline.restricted.ingest import holdout, key_check
from pipeline.schema.reader import read_schema

HEART_SCHEMA = read_schema(project_root() / "datasets" / "uci_heart.yaml")


@pytest.fixture
def heart(bench: Bench, tmp_path: Path) -> Path:
    """A source whose population is open."""
    Home.find().state.mkdir(parents=True)
    ensure_population(Home.find(), HEART_SCHEMA)
    return write_csv(tmp_path / "heart.csv", HEART, *(heart_row() for _ in range(3)))


def kinds(home: Home) -> list[str]:
    return [entry.kind for entry in Ledger(home.ledger).entries()]


def key_file() -> Path:
    return Home.find().keys / holdout.KEY_NAME


def test_the_first_ingest_notes_the_fingerprint_once(
    bench: Bench, heart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        bench.ingest("uci_heart", heart)
    home, key = Home.find(), key_file().read_bytes()
    assert kinds(home) == ["opened", "keyed"]
    noted = Ledger(home.ledger).keys()[HEART_SCHEMA.population.name]
    assert noted == key_check.fingerprint(key) and key.hex() not in noted
    show(argparse.Namespace(population=None))
    assert noted[:12] in capsys.readouterr().out


@pytest.mark.parametrize("lost", ["file", "folder", "another", "short"])
def test_a_key_that_is_lost_is_not_made_anew(bench: Bench, heart: Path, lost: str) -> None:
    bench.ingest("uci_heart", heart)
    before = kinds(Home.find())
    if lost == "file":
        key_file().unlink()
    elif lost == "folder":
        shutil.rmtree(Home.find().keys)
    else:
        key_file().write_bytes(os.urandom(32 if lost == "another" else 31))
    with pytest.raises(ValueError, match=r"[Rr]estore .* from the backup"):
        bench.ingest("uci_heart", heart)
    assert key_file().is_file() == (lost in ("another", "short"))
    assert kinds(Home.find()) == before


@pytest.mark.parametrize("has_key", [False, True])
def test_a_second_host_on_the_same_ledger_is_found(
    bench: Bench, heart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_key: bool
) -> None:
    bench.ingest("uci_heart", heart)
    monkeypatch.setenv("SYNDASERA_LEDGER", str(Home.find().ledger_file))
    first = key_file().read_bytes()
    monkeypatch.setenv("SYNDASERA_HOME", str(tmp_path / "second host"))
    if has_key:
        holdout.permanent_key(Home.find().keys)
    with pytest.raises(ValueError, match="hosts that share a ledger must share it"):
        key_check.key_of(Home.find(), HEART_SCHEMA.population.name)
    with pytest.raises(ValueError, match="other people would be held out"):
        key_check.check_key_of(Home.find(), HEART_SCHEMA.population.name)
    assert key_file().is_file() == has_key
    Home.find().keys.mkdir(parents=True, exist_ok=True)
    key_file().write_bytes(first)
    assert key_check.key_of(Home.find(), HEART_SCHEMA.population.name) == first


def test_charges_of_before_keys_were_noted_forbid_a_new_key(bench: Bench, heart: Path) -> None:
    ledger, name = Ledger(Home.find().ledger), HEART_SCHEMA.population.name
    ledger.reserve("old-1", name, DiscreteGaussianDpEvent(90.0), by="tests", source_label="1")
    with pytest.raises(ValueError, match="a new key would hold out others"):
        bench.ingest("uci_heart", heart)
    holdout.permanent_key(Home.find().keys)  # from the backup
    bench.ingest("uci_heart", heart)
    assert kinds(Home.find()) == ["opened", "reserved", "keyed"]


def test_where_no_population_is_open_nothing_is_noted(bench: Bench, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "heart.csv", HEART, heart_row())
    bench.ingest("uci_heart", source)
    assert key_file().is_file() and not Home.find().ledger_file.exists()


def test_a_charge_needs_the_key_of_the_rows(workspace: Workspace) -> None:
    home = Home.find()
    key_check.key_of(home, "toy")
    key = key_file().read_bytes()
    key_file().write_bytes(os.urandom(32))
    with pytest.raises(ValueError, match="drawn by another permanent key"):
        reserve.run(workspace, settings(), declared(workspace))
    key_file().unlink()
    with pytest.raises(ValueError, match="there is none here"):
        reserve.run(workspace, settings(), declared(workspace))
    assert kinds(home) == ["opened", "keyed"] and not key_file().exists()
    key_file().write_bytes(key)
    reserve.run(workspace, settings(), declared(workspace))
    assert kinds(home) == ["opened", "keyed", "reserved"]
