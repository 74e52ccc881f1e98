"""A home whose path holds odd characters works, or is refused before anything is written; one that
is not absolute is one home for every program.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from pipeline import environment
from pipeline.__main__ import main
from pipeline.catalog import Home, project_root
from pipeline.environment import HOME_VARIABLE, LEDGER_VARIABLE
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs import version_stores
from pipeline.services import airflow_server, mlflow_server, tracking

# One home holds all that works, so that DVC and git are asked once; of the others it is asked how
# DVC would read them.
EVERYTHING = "ä #1 'q' \"d\" 50% a;b,c=d & (e) @f ~h |i <j> `k` \\l ^m !n +o"
LEGAL = (
    "#",
    "a#b",
    "'",
    '"',
    "'\"",
    "%",
    "%s",
    ";",
    "a;#b",
    ",",
    "=",
    " ",
    "a b ",
    "ä ö",
    "日本",
    "&",
    "(x)",
    "@",
    "~",
    "|",
    "`id`",
    "\\",
    "!",
    "+",
    "{x}",
    "'''",
    "#\"'",
    "-x",
    "x=#;",
)
REFUSED = (
    "*",
    "?",
    "[x]",
    "a\nb",
    "a\tb",
    "$HOME",
    "${x}",
    "a\rb",
    "{{x}}",
    "{% x %}",
    "\x7f",
    "a@b:c",
)


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def find(name: str) -> Home:
        monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / name / "home"))
        return Home.find()

    return find


def pushed(home: Home, store: Path, scratch: Path) -> None:
    """One object by git and DVC, through a clone of the store."""
    version_stores.clone(store, scratch)
    (scratch / "object").write_text(f"of {scratch.name}")
    version_stores.dvc("add", "--quiet", "object", cwd=scratch)
    version_stores.dvc("push", "--quiet", cwd=scratch)
    version_stores.commit_all(scratch, "an object")
    version_stores.git("push", "-q", "origin", "main", cwd=scratch)


def objects(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()]


def test_objects_land_in_the_remote_of_their_zone(at, tmp_path: Path) -> None:
    home = at(EVERYTHING)
    version_stores.ensure(home)
    for zone, store, remote in (
        ("restricted", home.restricted_store, home.restricted_remote),
        ("released", home.released_store, home.released_remote),
    ):
        pushed(home, store, home.state / zone / "clone")
        assert len(objects(remote)) == 1
    got = home.state / "got"
    version_stores.dvc(
        "get", "--quiet", "--out", str(got), str(home.released_store), "object", cwd=home.state
    )
    assert got.read_text() == "of clone"
    beside = [path for path in tmp_path.rglob("files") if path.parent.name != "dvc-remote"]
    assert [path.parents[0].name for path in beside if "cache" not in str(path)] == []


@pytest.mark.parametrize("name", LEGAL)
def test_dvc_finds_the_remote_of_a_legal_home(at, tmp_path: Path, name: str) -> None:
    home = at(name)
    version_stores._refuse_other_place(home)
    assert not home.root.exists()


@pytest.mark.parametrize("name", REFUSED)
def test_a_home_that_would_be_read_as_another_is_refused_at_once(
    at, tmp_path: Path, name: str
) -> None:
    with pytest.raises(Refusal, match="choose another folder"):
        at(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["%(x)s", "'''\"\"\"", "%(remote)s"])
def test_a_home_that_dvc_does_not_take_is_refused_before_anything_is_written(
    at, tmp_path: Path, name: str
) -> None:
    home = at(name)
    with pytest.raises(Refusal, match="DVC would put the objects of"):
        version_stores.ensure(home)
    assert list(tmp_path.iterdir()) == []


def test_mlflow_and_polars_and_the_ledger_lie_in_an_odd_home(at, tmp_path: Path) -> None:
    home = at(EVERYTHING)
    home.state.mkdir(parents=True)
    tracking.ensure(home)
    client = tracking.client_of(home)
    place = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    run = client.create_run(place).info.run_id
    (home.state / "note.txt").write_text("a note")
    client.log_artifact(run, str(home.state / "note.txt"))
    assert [path.read_text() for path in home.mlflow_artifacts.rglob("note.txt")] == ["a note"]
    assert home.mlflow_database.is_file() and tracking.tracked_chain_heads(home) == {}
    pl.DataFrame({"a": [1]}).write_parquet(home.state / "x.parquet")
    assert pl.scan_parquet(home.state / "x.parquet").collect().height == 1
    with Ledger(home.ledger)._chain.writing():
        pass
    assert home.ledger_file.is_file()
    assert {path.name for path in tmp_path.iterdir()} == {EVERYTHING}
    assert {path.name for path in (tmp_path / EVERYTHING).iterdir()} == {"home"}


def test_airflow_and_mlflow_are_told_the_paths_as_they_are(at) -> None:
    from sqlalchemy.engine import make_url

    home = at(EVERYTHING)
    variables = airflow_server.airflow_environment(home)
    url = variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert make_url(url).database == str(home.airflow / "airflow.db")
    assert os.path.expandvars(variables["AIRFLOW_HOME"]) == str(home.airflow)  # as Airflow does
    assert variables[HOME_VARIABLE] == str(home.root)
    [service] = mlflow_server.mlflow_services(home)
    url = service.command[service.command.index("--backend-store-uri") + 1]
    assert make_url(url).database == str(home.mlflow_database)


def test_a_relative_home_is_one_home_for_every_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(HOME_VARIABLE, "here/home")
    monkeypatch.setenv(LEDGER_VARIABLE, "here/ledger.db")
    expected = [str(tmp_path / "here" / name) for name in ("home", "ledger.db")]
    home = Home.find()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [str(Home.find().root), Home.find().ledger] == expected
    ask = "from pipeline.catalog import Home; print(Home.find().root); print(Home.find().ledger)"
    for variables in (environment.for_stages(), environment.for_services(home.root)):
        said = subprocess.run(
            [sys.executable, "-c", ask],
            env=variables | {"PYTHONPATH": str(project_root())},
            cwd=tmp_path / "elsewhere",
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.split("\n")[:2] == expected


def test_the_stages_get_the_absolute_home_whoever_asked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(HOME_VARIABLE, "home")
    assert environment.for_stages()[HOME_VARIABLE] == str(tmp_path / "home")


def test_a_stage_by_hand_with_a_relative_home_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(HOME_VARIABLE, "home")
    assert main(["ingest"]) == 2
    assert "is not absolute" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


SECRETS = (
    *("PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "AWS_SECRET_ACCESS_KEY", "SOMEBODYS_TOKEN"),
    *(LEDGER_VARIABLE, "SYNDASERA_CUSTODIAN", "AIRFLOW__API_AUTH__JWT_SECRET"),
)


def test_the_public_portal_inherits_nothing_but_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "postgresql://reader:hunter2@host/clinic")
    monkeypatch.setenv("SYNDASERA_PORTAL", "postgresql://portal@host/portal")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    variables = environment.for_public_portal(tmp_path)
    assert "hunter2" not in " ".join(variables.values())
    assert variables["SYNDASERA_PORTAL"] == "postgresql://portal@host/portal"
    assert variables[HOME_VARIABLE] == str(tmp_path) and variables["LC_ALL"] == "C.UTF-8"
