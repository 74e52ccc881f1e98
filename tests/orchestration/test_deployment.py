"""deployment.yaml: what it may say, and what follows from it for the places of a home."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from host_cases import database as database
from host_cases import deploy, shared_places

from pipeline import files, migrations
from pipeline.catalog import Home
from pipeline.cli.doctor import runs as doctor_runs
from pipeline.cli.doctor.command import answers
from pipeline.cli.doctor.questions import WRONG
from pipeline.cli.parser import main
from pipeline.environment import DEPLOYMENT_VARIABLE, HOME_VARIABLE
from pipeline.refusal import Refusal
from pipeline.restricted.ingest.holdout import KEY_NAME
from pipeline.restricted.ingest.key_check import key_of
from pipeline.runs import locks, sources, turns, version_stores
from pipeline.runs.object_store import FolderStore
from pipeline.runs.source_claims import PROVISIONAL, claim, read
from pipeline.services import backup_note, processes
from pipeline.upkeep import backup, restore

OWNER = {"population": "people", "kind": "confidential"}


def test_without_a_file_everything_lies_in_the_home(home: Home) -> None:
    assert not home.deployment.is_shared and home.deployment.database is None
    assert home.runs == home.root / "runs" and home.keys == home.state / "keys"
    assert main(["deployment", "check"]) == 0


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({"databse": "postgresql://a@b/c"}, "databse is unknown; known are airflow, checkpoints"),
        ({"airflow": {"queues": {"gpu": "x"}}}, "airflow.queues.gpu is unknown"),
        ({"database": "postgresql://a:hush@b/c"}, "database holds a password"),
        ({"database": "postgresql://a@b/c?password=hush"}, "database holds a password"),
        ({"stores": {"restricted": "https://x:hush@host/a.git"}}, "holds a password"),
        ({"database": "host=b user=a password=hush"}, "database holds a password"),
        ({"stores": {"released": "https://ghp_hush@host/a.git"}}, "holds a password"),
        ({"aws_secret_access_key": "hush"}, "no password or key stands here"),
        ({"database": "mysql://a@b/c"}, "must be postgresql://"),
        ({"workspaces": "here"}, "must be an absolute path"),
        ({"remotes": {"restricted": "ftp://x"}}, "must be s3://"),
        ({"checkpoints": "s3://bucket/x"}, "stores.restricted is missing"),
        ({"database": 5}, "database must be text"),
        (["a"], "must be names with values"),
    ],
)
def test_what_nobody_knows_and_every_password_is_refused(
    home: Home, places: dict[str, object], words: str
) -> None:
    deploy(home.root, places)
    with pytest.raises(Refusal, match=words) as refusal:
        _ = home.runs
    assert "hush" not in str(refusal.value)


def test_a_host_that_lost_the_file_is_no_home_of_its_own(home: Home, tmp_path: Path) -> None:
    """Else it would go on with another ledger, other keys and other claims."""
    deploy(home.root, shared_places(tmp_path / "there", "postgresql://nobody@nowhere/none"))
    version_stores.ensure(home)
    (home.root / "deployment.yaml").unlink()
    with pytest.raises(Refusal, match=r"deployment\.yaml is missing"):
        version_stores.ensure(home)


def test_a_file_may_lie_elsewhere_and_must_be_there(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(tmp_path / "etc", {"workspaces": str(tmp_path / "work")})
    monkeypatch.setenv(DEPLOYMENT_VARIABLE, str(tmp_path / "etc" / "deployment.yaml"))
    assert home.runs == tmp_path / "work"
    monkeypatch.setenv(DEPLOYMENT_VARIABLE, str(tmp_path / "none.yaml"))
    with pytest.raises(Refusal, match="there is no file"):
        _ = home.runs


def test_the_check_says_what_is_wrong_place_by_place(
    home: Home, tmp_path: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = shared_places(tmp_path / "elsewhere", database)
    deploy(home.root, places)
    assert main(["deployment", "check"]) == 2  # the keys of the services are not there
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in said if line.startswith("  NO")] == ["keys:"]
    assert "ok  checkpoints: answers, and keeps what was written first" in "\n".join(said)
    assert main(["deployment", "new-keys", str(tmp_path / "new")]) == 0
    deploy(home.root, {**places, "keys": str(tmp_path / "new")})
    assert main(["deployment", "check"]) == 0
    with pytest.raises(Refusal, match="lacks another"):
        processes.secret(home, "another")
    assert processes.secret(home, "airflow_password")


def test_a_mounted_key_is_never_made(home: Home, tmp_path: Path, database: str) -> None:
    deploy(home.root, shared_places(tmp_path / "elsewhere", database))
    (home.keys / KEY_NAME).unlink()
    with pytest.raises(Refusal, match="none is ever made by itself"):
        key_of(home, "people")
    assert not any(home.keys.iterdir())


def test_a_home_with_charges_moves_its_ledger_first(
    home: Home, tmp_path: Path, database: str
) -> None:
    home.ledger_file.touch()
    deploy(home.root, shared_places(tmp_path / "elsewhere", database))
    with pytest.raises(Refusal, match="move the ledger"):
        _ = home.ledger


def test_claims_of_older_versions_are_taken_over_once(home: Home, source: Path) -> None:
    home.source_paths.parent.mkdir(parents=True)
    home.source_paths.write_text(
        f'{{"{source}": {{"population": "people", "kind": "confidential"}}}}'
    )
    with pytest.raises(Refusal, match="population people"):
        claim(home, source, population="adult", kind="public")
    assert home.source_paths.is_file()  # nothing was entered, so nothing was taken over
    claim(home, source, **OWNER)
    assert not home.source_paths.exists() and read(home) == {str(source): OWNER}
    assert home.source_paths.with_name("source_paths.json.migrated").is_file()


def test_what_a_file_of_before_says_for_good_is_so_and_a_slip_may_still_give_way(
    home: Home, source: Path, tmp_path: Path
) -> None:
    slip = tmp_path / "slip"
    home.source_paths.parent.mkdir(parents=True)
    before = {str(source): OWNER, str(slip): {**OWNER, PROVISIONAL: "yes"}}
    claim(home, source, **OWNER, for_good=False)
    files.write_json(home.source_paths, before)
    assert migrations.migrate(home) and not home.source_paths.exists()
    assert read(home) == before
    with pytest.raises(Refusal, match="population people"):
        claim(home, source, population="others", kind="confidential")
    claim(home, slip, population="others", kind="confidential")
    assert read(home)[str(slip)] == {"population": "others", "kind": "confidential"}


def test_a_home_of_several_hosts_is_saved_by_other_means(
    home: Home, tmp_path: Path, database: str
) -> None:
    deploy(home.root, shared_places(tmp_path / "elsewhere", database))
    home.state.mkdir(exist_ok=True)
    with pytest.raises(Refusal, match="by their own means"):
        backup.make(home, tmp_path / "backup", "tests", backup.Wishes(), print)
    assert not (tmp_path / "backup").exists()
    statement = restore.Statement(nothing_since=True)
    with pytest.raises(Refusal, match="by their own means"):
        restore.restore(home, tmp_path / "backup", statement, print)


def test_who_saves_several_hosts_notes_it_and_the_doctor_tells_when_it_is_old(
    home: Home, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(home.root))
    assert main(["backup", "--noted"]) == 2  # of one host it is made, not noted
    places = shared_places(tmp_path / "elsewhere", database)
    other = Home(tmp_path / "other")
    for one in (home, other):
        deploy(one.root, places)
        one.state.mkdir(exist_ok=True)
    assert backup_note.last_backup(other) is None
    assert main(["backup", "--noted", str(tmp_path / "folder")]) == 2
    assert main(["backup"]) == 2
    assert backup_note.last_backup(other) is None
    assert main(["backup", "--noted"]) == 0
    assert backup_note.last_backup(other) is not None
    assert not list(doctor_runs.backup(other))
    backup_note.note(other, datetime.now(UTC) - timedelta(days=400))
    (fault,) = doctor_runs.backup(home)
    assert "days old" in str(fault) and "docs/several_hosts.md" in str(fault)


def test_the_doctor_looks_at_the_places_that_several_hosts_have(
    home: Home, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = shared_places(tmp_path / "elsewhere", database)
    deploy(home.root, places)
    monkeypatch.setenv(HOME_VARIABLE, str(home.root))
    home.state.mkdir(exist_ok=True)
    home.set_modes()
    assert [one.faults for one in answers() if one.state == WRONG] == []
    (tmp_path / "elsewhere" / "released.git").rename(tmp_path / "gone.git")
    wrong = [one.title for one in answers() if one.state == WRONG]
    assert "the released version store is whole" in wrong


def test_a_home_that_gets_a_database_loses_no_claim_and_no_declared_source(
    home: Home, source: Path, tmp_path: Path, database: str
) -> None:
    claim(home, source, **OWNER)
    sources.declare(home, "adult", sources.Source(path=str(source), label="first"))
    deploy(home.root, shared_places(tmp_path / "elsewhere", database))
    with pytest.raises(Refusal, match="population people"):
        claim(home, source, population="adult", kind="public")
    claim(home, source, **OWNER)
    assert not home.registers.exists()
    assert sources.load(home) == {"adult": sources.Source(path=str(source), label="first")}
    other = tmp_path / "other"
    deploy(other, shared_places(tmp_path / "beside", database))
    assert read(Home(other)) == {str(source): OWNER} and sources.load(Home(other)).keys() == {
        "adult"
    }
    assert sources.withdraw(Home(other), "adult", str(source)) and sources.load(home) == {}


def test_a_lock_holds_across_hosts_and_ends_with_its_session(
    home: Home, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_POLL_SECONDS", 0.01)
    deploy(home.root, shared_places(tmp_path / "elsewhere", database))
    deploy(tmp_path / "other", {"database": database})
    order = []

    def second() -> None:
        with locks.across_hosts(Home(tmp_path / "other"), "the run a-1"):
            order.append("second")

    waiting = threading.Thread(target=second)
    with locks.across_hosts(home, "the run a-1"):
        waiting.start()
        with locks.across_hosts(Home(tmp_path / "other"), "the run b-1"):
            pass  # another name is free
        order.append("first")
    waiting.join(30)
    assert order == ["first", "second"]


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_runs_of_one_population_take_turns(
    home: Home, tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    if where == "postgresql":
        deploy(home.root, {"database": request.getfixturevalue("database")})
    over: set[str] = set()
    assert turns.take(home, "people", "run 1", over.__contains__)
    assert turns.take(home, "people", "run 1", over.__contains__)  # a retry
    assert not turns.take(home, "people", "run 2", over.__contains__)
    assert turns.take(home, "others", "run 2", over.__contains__)
    over.add("run 1")
    assert turns.take(home, "people", "run 3", over.__contains__)
    assert not turns.take(home, "people", "run 2", over.__contains__)


def test_an_object_is_written_once(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert store.put_once("a/b", b"first") == b"first" == store.put_once("a/b", b"second")
    store.put("a/c", b"third")
    store.put("a/c", b"fourth")
    assert store.get("a/c") == b"fourth" and store.get("a/d") is None
    assert store.names("a/") == ["a/b", "a/c"] and store.names("b") == []
    with pytest.raises(Refusal, match="no name of an object"):
        store.get("../outside")
