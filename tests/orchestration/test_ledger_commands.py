"""`python -m pipeline ledger ...` as a custodian and an auditor type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import files
from pipeline.catalog import Home, project_root
from pipeline.cli.ledger import ensure_population
from pipeline.cli.parser import main
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.environment import HOME_VARIABLE, LEDGER_VARIABLE
from pipeline.ledger import Ledger
from pipeline.schema.reader import read_schema
from pipeline.services import tracking
from pipeline.stages import REFUSED

POPULATION = "cancer_pathways"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(LEDGER_VARIABLE, raising=False)
    (tmp_path / "home").mkdir()
    return Home.find()


@pytest.fixture
def opened(home: Home) -> Ledger:
    assert main(["ledger", "open", POPULATION, "--reason", "agreed on 3 May"]) == 0
    return Ledger(home.ledger)


def reserve(ledger: Ledger, name: str) -> None:
    ledger.reserve(name, POPULATION, DiscreteGaussianDpEvent(20.0), by="tests", source_label="May")


def test_nothing_is_made_by_looking(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for asked in (["ledger"], ["ledger", "show"], ["ledger", "verify"]):
        assert main(asked) == 0
        assert "There is no ledger yet" in capsys.readouterr().out
    assert not home.ledger_file.exists()


def test_show_says_who_opened_and_raised_it_and_what_was_spent(
    opened: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["ledger", "raise", POPULATION, "--epsilon", "12", "--reason", "minutes of 7 June"])
        == 0
    )
    assert "weaker statement" in capsys.readouterr().out
    reserve(opened, "r1")
    opened.open_population(
        "others",
        universe="u",
        nominal_size=1000,
        epsilon=2.0,
        delta=1e-6,
        ceiling_epsilon=2.0,
        kind="confidential",
        reason="r",
        by="b",
    )
    assert main(["ledger", "show", POPULATION]) == 0
    said = capsys.readouterr().out
    for part in (
        "opened, epsilon 10,",
        "agreed on 3 May",
        "raised, epsilon 12,",
        "minutes of 7 June",
        "by PLD",
        "for reports only",
        "r1",
        "reserved",
        "may share patients with others: together epsilon 14",
        opened.chain_head(),
    ):
        assert part in said


def test_no_raise_above_the_ceiling(opened: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    head = opened.chain_head()
    assert main(["ledger", "raise", POPULATION, "--epsilon", "21", "--reason", "more"]) == REFUSED
    assert "ceiling of epsilon 20" in capsys.readouterr().err and opened.chain_head() == head


@pytest.mark.parametrize("is_open", [False, True])
def test_a_quote_says_the_cost_and_how_many_fit_and_records_nothing(
    home: Home, is_open: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if is_open:
        ensure_population(home, read_schema(project_root() / "datasets" / "adult.yaml"))
        Ledger(home.ledger).reserve(
            "r1", "adult", DiscreteGaussianDpEvent(2.0), by="b", source_label="l"
        )
    head = Ledger(home.ledger).chain_head()
    assert main(["ledger", "quote", "adult", "--epsilon", "1"]) == 0
    said = capsys.readouterr().out
    assert (
        "such release(s) fit" in said
        and "table_counts" in said
        and ("is not open yet" in said) is not is_open
    )
    fits = int(said.rsplit("): ", 1)[1].split()[0])
    assert (fits < 52) is is_open and fits > 40
    assert Ledger(home.ledger).chain_head() == head and (is_open or not home.ledger_file.exists())


def test_verify_names_the_place_whose_head_is_gone(
    home: Home, opened: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    old = home.ledger_file.read_bytes()
    reserve(opened, "r1")
    files.write_json(
        home.runs / "r1" / "restricted" / "reservation.json", {"head": opened.chain_head()}
    )
    client = tracking.client_of(home)
    client.create_run(
        client.create_experiment("releases"),
        run_name="r1",
        tags={"ledger_head": opened.chain_head()},
    )
    assert main(["ledger", "verify"]) == 0
    assert "noted in 2 place(s)" in capsys.readouterr().out
    home.ledger_file.write_bytes(old)
    assert main(["ledger", "verify"]) == REFUSED
    assert (
        "noted on the reservation of r1 (and 1 more) is not in the ledger of 1 entries"
        in capsys.readouterr().err
    )
    (home.runs / "r1" / "restricted" / "reservation.json").unlink()
    assert main(["ledger", "verify"]) == REFUSED
    assert "noted on the MLflow run r1" in capsys.readouterr().err


def test_export_is_whole_and_readable_by_its_owner_only(opened: Ledger, tmp_path: Path) -> None:
    reserve(opened, "r1")
    out = tmp_path / "ledger.json"
    assert main(["ledger", "export", "--out", str(out)]) == 0
    assert (
        json.loads(out.read_text()) == json.loads(json.dumps(opened.export()))
        and out.stat().st_mode & 0o077 == 0
    )


def test_a_move_to_what_is_no_database_changes_nothing(
    home: Home, opened: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = {
        "mysql://a@b/c": REFUSED,
        "somewhere": REFUSED,
        "postgresql://u:secret@127.0.0.1:1/x": 1,
    }
    for url, code in codes.items():
        assert main(["ledger", "move", url]) == code
        assert "secret" not in capsys.readouterr().err
    assert not home.ledger_url.exists()
    reserve(opened, "r1")
