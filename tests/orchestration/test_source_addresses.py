"""A database as a source, at every door by which a source comes in: it belongs to one population
whatever it is called by, and its password is written nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pipeline.catalog import Home
from pipeline.cli.parser import main
from pipeline.refusal import Refusal
from pipeline.runs import sources, workspace
from pipeline.runs.source_claims import claim

HEART = (
    "CREATE TABLE heart_kaggle_303 (age int, sex text, cp text, trtbps int, chol int, fbs text,"
    " restecg text, thalachh int, exng text, oldpeak numeric, slp text, caa text, thall text,"
    " output text)"
)
ROW = "INSERT INTO heart_kaggle_303 SELECT 63,'1','3',145,233,'1','0',150,'0',2.3,'0','0','1','1'"


@pytest.fixture(scope="module")
def address(postgres: str) -> Iterator[str]:
    """Of a database of its own, with one table."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE hearts")
    address = postgres.replace("/postgres?", "/hearts?")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(HEART)
        connection.execute(ROW)
    yield address
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP DATABASE hearts WITH (FORCE)")


def test_a_database_belongs_to_one_population(home: Home, address: str, postgres: str) -> None:
    claim(home, address, population="people", kind="confidential")
    claim(home, address, population="people", kind="confidential")
    for kind, population in (("public", "adult"), ("confidential", "others")):
        with pytest.raises(Refusal, match="registered as the source of the confidential"):
            claim(home, address, population=population, kind=kind)
    claim(home, postgres, population="adult", kind="public")  # another database of that server


def test_a_database_is_known_under_another_name(
    home: Home, address: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service, or a user of another name, leads to the same rows."""
    claim(home, address, population="people", kind="confidential")
    parts = conninfo_to_dict(address)
    service = "".join(f"{key}={parts[key]}\n" for key in ("host", "user", "dbname"))
    (tmp_path / "services").write_text(f"[other]\n{service}")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    link = tmp_path / "link"
    link.symlink_to(str(parts["host"]))  # another path of the socket
    others = ("postgresql://?service=other", address.replace(str(parts["host"]), str(link)))
    for other in others:
        with pytest.raises(Refusal, match="population people"):
            claim(home, other, population="others", kind="confidential")


def test_the_simulator_writes_no_database(home: Home, address: str) -> None:
    with pytest.raises(Refusal, match="simulator wrote no database"):
        claim(home, address, population="invented", kind="simulated")


def test_doors_take_an_address(home: Home, address: str, capsys) -> None:
    assert main(["sources", "set", "uci_heart", "--path", address, "--label", "first"]) == 0
    source = sources.get(home, "uci_heart")
    assert source is not None and source.path.startswith("postgresql://postgres@/hearts?host=")
    assert main(["check-source", "--dataset", "uci_heart"]) == 0
    main(["check", "uci_heart", "--show-values"])
    said = capsys.readouterr().out
    assert "Table heart (hearts, table heart_kaggle_303): 1 rows read" in said
    asked = workspace.Request(release_id="heart-1", dataset="uci_heart")
    made = workspace.make(home, asked)
    assert f"source: {source.path}" in made.params.read_text().replace("\n    ", " ")
    assert workspace.make(home, asked).root == made.root


@pytest.mark.parametrize("where", ["userinfo", "query"])
def test_a_password_is_refused_and_written_nowhere(
    home: Home, address: str, where: str, capsys
) -> None:
    if where == "userinfo":
        secret = address.replace("postgres:@", "postgres:hunter2@")
    else:
        secret = f"{address}&password=hunter2"
    assert "hunter2" in secret
    for command in (
        ["sources", "set", "uci_heart", "--path", secret, "--label", "x"],
        ["check", "uci_heart", "--source", secret],
        ["check-source", "--dataset", "uci_heart", "--source", secret],
        ["prepare", "--dataset", "uci_heart", "--release-id", "h-1", "--source", secret],
    ):
        assert main(command) == 2
    said = capsys.readouterr()
    assert said.err.count("holds no password") == 4 and "hunter2" not in said.out + said.err
    for path in home.root.rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes(), path


def test_a_server_that_does_not_answer_is_said_before_anything_is_written(
    home: Home, capsys
) -> None:
    gone = "postgresql://localhost:1/db"
    assert main(["sources", "set", "uci_heart", "--path", gone, "--label", "x"]) == 2
    assert "postgresql://localhost:1/db does not answer" in capsys.readouterr().err
    assert not home.sources.exists() and not home.registers.exists()
