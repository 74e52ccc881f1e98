"""The doctor names each fault that is planted in a healthy installation, and none in a healthy
one; it changes nothing.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import doctor_cases
import pytest
from doctor_cases import RELEASE, write_database
from ledger_cases import COUNTS, OPEN
from ports import free_port

from pipeline import environment, files
from pipeline.__main__ import main
from pipeline.catalog import Home, project_root
from pipeline.cli.doctor import command, machine, questions, settings
from pipeline.environment import HOME_VARIABLE
from pipeline.ledger import Ledger
from pipeline.runs import sources, version_stores
from pipeline.runs.uploads import records
from pipeline.services import processes

Plant = Callable[[Home, pytest.MonkeyPatch], None]
PORTS = (
    environment.AIRFLOW_PORT_VARIABLE,
    environment.MLFLOW_PORT_VARIABLE,
    environment.PORTAL_PORT_VARIABLE,
    environment.CUSTODIAN_PORT_VARIABLE,
)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("healthy") / "home")
    with environment.at_home(home.root):
        doctor_cases.make_healthy(home)
    yield home


@pytest.fixture
def patient(healthy: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of the healthy home, with free ports."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    for name in PORTS:
        monkeypatch.setenv(name, str(free_port()))
    shutil.copytree(healthy.root, tmp_path / "home", symlinks=True)
    home = Home.find()
    sources.declare(home, "adult", sources.Source(path=str(home.root / "source"), label="May"))
    home.set_modes()
    return home


def answers_of(monkeypatch: pytest.MonkeyPatch) -> dict[str, questions.Answer]:
    """Without the declarations of all datasets, which take a second."""
    monkeypatch.setattr(settings, "dataset_names", list)
    return {one.title: one for one in command.answers()}


def test_a_healthy_home_has_no_fault_and_nothing_is_changed(patient, capsys):
    before = {path: path.lstat().st_mtime_ns for path in patient.root.rglob("*")}
    assert main(["doctor"]) == 0, capsys.readouterr().out
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[:-1]} == {"ok"}
    assert lines[-1] == f"{len(lines) - 1} questions: nothing wrong, no warning(s)."
    assert before == {path: path.lstat().st_mtime_ns for path in patient.root.rglob("*")}


def test_a_home_that_is_not_begun_has_no_fault(home, monkeypatch):
    home.state.chmod(0o711)
    for name in PORTS:
        monkeypatch.setenv(name, str(free_port()))
    assert not [one for one in answers_of(monkeypatch).values() if one.faults]
    assert list(home.state.iterdir()) == []


@pytest.mark.parametrize(("mode", "n_faults"), [(0o444, 0), (0o644, 1), (0o666, 1)])
def test_objects_as_dvc_keeps_them_are_no_fault(home, mode, n_faults):
    """It takes from everybody the right to write them; the folder above is closed."""
    home.state.chmod(0o711)
    path = home.restricted_remote / "files" / "md5" / "ab" / "cdef"
    files.private_folder(home.state / "restricted")
    files.write_text(path, "x")
    for folder in path.parents[:4]:
        folder.chmod(0o700)
    path.chmod(mode)
    assert len(list(machine.modes(home))) == n_faults


def change_ledger(home: Home, statement: str) -> None:
    """As somebody with the file and without scruples."""
    write_database(home.ledger_file, "DROP TRIGGER entry_is_never_changed", statement)


def broken_chain(home, _):
    change_ledger(home, "UPDATE entry SET by = 'somebody else' WHERE number = 2")


def old_ledger(home, _):
    earlier = home.ledger_file.read_bytes()
    Ledger(home.ledger).reserve(
        "release-2", "trial", COUNTS, by="tests", source_label="June", register=["first"]
    )
    files.write_json(
        home.workspace("release-2").restricted.reservation,
        {"head": Ledger(home.ledger).chain_head()},
    )
    home.ledger_file.write_bytes(earlier)


def no_ledger(home, _):
    home.ledger_file.unlink()


def no_key(home, _):
    (home.keys / "holdout.key").unlink()


def other_key(home, _):
    (home.keys / "holdout.key").write_bytes(bytes(32))


def short_key(home, _):
    (home.keys / "holdout.key").write_bytes(b"short")


def no_register(home, _):
    home.cohorts("trial").unlink()


def old_register(home, _):
    write_database(home.cohorts("trial"), "DELETE FROM mark")


def damaged_register(home, _):
    home.cohorts("trial").write_bytes(b"no database" * 100)


def open_key(home, _):
    (home.keys / "holdout.key").chmod(0o644)


def open_runs(home, _):
    home.workspace(RELEASE).root.chmod(0o755)


def released_for_writers(home, _):
    home.release(RELEASE).manifest.chmod(0o666)


def lose_commit(store: Path) -> None:
    digest = version_stores.git("rev-parse", "main", cwd=store)
    shutil.rmtree(store / "objects" / "pack", ignore_errors=True)
    (store / "objects" / digest[:2] / digest[2:]).unlink(missing_ok=True)


def broken_restricted_store(home, _):
    lose_commit(home.restricted_store)


def broken_released_store(home, monkeypatch):
    lose_commit(home.released_store)


def no_remote(home, _):
    shutil.rmtree(home.restricted_remote)


def no_copy(home, _):
    shutil.rmtree(home.release(RELEASE).root)


def copy_of_nothing(home, _):
    (home.published / "other-1").mkdir(mode=0o755)


def lost_object(home, _):
    path = next(path for path in home.released_remote.rglob("*") if path.suffix == ".dir")
    path.unlink()


def lost_member(home, _):
    path = next(p for p in home.released_remote.rglob("*") if p.is_file() and p.suffix != ".dir")
    path.unlink()


def full_disk(home, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage(10_000_000))


def dead_service(home, _):
    entry = {"pid": os.getpid(), "created": 1.0}
    files.write_json(home.state / "services.json", {"airflow-scheduler": entry})


def unmigrated(home, _):
    (home.airflow / "airflow.db").unlink()
    write_database(home.airflow / "airflow.db", "CREATE TABLE x (y TEXT)")


def no_airflow_database(home, _):
    (home.airflow / "airflow.db").unlink()


def other_airflow(home, _):
    (home.airflow / "migrated").write_text("1.0.0")


def import_error(home, _):
    write_database(home.airflow / "airflow.db", "INSERT INTO import_error VALUES ('refresh.py')")


def half_lock(home, _):
    (home.workspace(RELEASE).root / ".dvc" / "tmp" / "rwlock").write_text("{")


def half_note(home, _):
    home.workspace(RELEASE).restricted.run.write_text("")


def clock_behind(home, monkeypatch):
    from pipeline.ledger import chain

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=2)

    with monkeypatch.context() as patch:
        patch.setattr(chain, "datetime", Later)
        Ledger(home.ledger).raise_budget("trial", epsilon=4.0, reason="tests", by="tests")


def no_mlflow_table(home, _):
    home.mlflow_database.write_bytes(b"no database at all" * 100)


def bad_params(home, _):
    text = (project_root() / "params.yaml").read_text()
    (home.root / "params.yaml").write_text(text.replace("stuck_hours: 24", "stuck_hours: -1"))


def no_yaml(home, _):
    (home.root / "params.yaml").write_text("a: [")


def lost_source(home, _):
    (home.root / "source").rmdir()


def cut_publish(home, _):
    ledger = Ledger(home.ledger)
    ledger.reserve("release-2", "trial", COUNTS, by="t", source_label="x", register=["first"])
    version_stores.git("tag", "-a", "release-2", "-m", "x", "main", cwd=home.released_store)
    shutil.copytree(home.release(RELEASE).root, home.release("release-2").root)


def lost_tag(home, _):
    version_stores.git("tag", "-d", RELEASE, cwd=home.released_store)


def lost_pieces(home, _):
    [upload] = records.every(home)
    shutil.rmtree(home.upload(upload.id).pieces(0).parent)


def lost_upload_key(home, _):
    [upload] = records.every(home)
    home.upload_key(upload.id).unlink()


def key_of_nothing(home, _):
    key = home.upload_keys / ("0" * 16)
    key.write_text("x")
    key.chmod(0o600)


def old_backup(home, _):
    at = datetime.now(UTC) - timedelta(days=9)
    files.write_json(home.backup_note, {"made_at": at.isoformat()})
    home.backup_note.chmod(0o600)


def no_backup(home, _):
    Ledger(home.ledger).open_population("people", **(OPEN | {"kind": "confidential"}))
    home.backup_note.unlink()


def low_budget(home, _):
    ledger = Ledger(home.ledger)
    left = ledger.balance("trial").more_like_last
    assert left is not None
    for number in range(left):
        ledger.reserve(
            f"more-{number}", "trial", COUNTS, by="t", source_label="x", register=["first"]
        )


def other_package(home, monkeypatch):
    real = machine.metadata.version

    def version(name: str) -> str:
        return "0.1" if name == "mlflow" else real(name)

    monkeypatch.setattr(machine.metadata, "version", version)


FAULTS: list[tuple[Plant, str, str]] = [
    (broken_chain, "the ledger's chain holds", "entry 2"),
    (old_ledger, "the ledger's chain holds", "the reservation of release-2"),
    (no_ledger, "the ledger is there", "nobody knows what was spent"),
    (no_key, "the permanent key", "restore state/keys"),
    (other_key, "the permanent key", "drawn by another permanent key"),
    (short_key, "the permanent key", "has 5 bytes, not 32"),
    (no_register, "the registers of cohorts", "restore trial.db"),
    (old_register, "the registers of cohorts", "is an old copy"),
    (damaged_register, "the registers of cohorts", "cannot be read (DatabaseError)"),
    (open_key, "files are their owner's", "state/keys/holdout.key"),
    (open_runs, "files are their owner's", f"runs/{RELEASE}"),
    (released_for_writers, "files are their owner's", "manifest.json"),
    (broken_restricted_store, "the restricted version store", "restore it from the backup"),
    (broken_released_store, "the released version store", "restore it from the backup"),
    (no_remote, "the restricted version store", "state/restricted/dvc-remote is gone"),
    (no_copy, "every release has its plain copy", f"{RELEASE} is tagged and has no whole copy"),
    (copy_of_nothing, "every release has its plain copy", "other-1 is no release"),
    (lost_object, "the objects of the 3 newest", f"{RELEASE}: 1 of its objects are missing"),
    (lost_member, "the objects of the 3 newest", f"{RELEASE}: 1 of its objects are missing"),
    (full_disk, "the disk has room", "nearly full: 0.0 GB free"),
    (dead_service, "what was started still runs", "airflow-scheduler was started"),
    (unmigrated, "Airflow's database", "was never migrated"),
    (no_airflow_database, "Airflow's database", "is missing"),
    (other_airflow, "Airflow's database", "of another version"),
    (import_error, "every DAG loads", "refresh.py"),
    (half_lock, "no run has half a lock", f"runs/{RELEASE}/.dvc/tmp/rwlock"),
    (half_note, "what was noted can be read", f"runs/{RELEASE}/restricted/run.json"),
    (clock_behind, "the clock is not behind", "set its clock"),
    (no_mlflow_table, "MLflow's database", "cannot be looked at (DatabaseError)"),
    (bad_params, "params.yaml is as it should be", "watch.stuck_hours must be positive"),
    (no_yaml, "params.yaml is as it should be", "is no YAML"),
    (lost_source, "something lies at every declared", "there is nothing at"),
    (cut_publish, "ledger and releases say the same", "release-2 is tagged"),
    (lost_tag, "ledger and releases say the same", f"{RELEASE} is released in the ledger"),
    (lost_pieces, "uploads have their keys", "the pieces of upload"),
    (lost_upload_key, "uploads have their keys", "the key of upload"),
    (key_of_nothing, "uploads have their keys", "there is a key of upload 0000"),
]
WARNINGS: list[tuple[Plant, str, str]] = [
    (low_budget, "every budget has room", "runs low"),
    (old_backup, "the last backup", "9.0 days old"),
    (no_backup, "the last backup", "no backup was made"),
    (other_package, "the environment is the lock's", "mlflow 0.1, not"),
]


@pytest.mark.parametrize(
    ("plant", "title", "words"), FAULTS, ids=lambda one: one.__name__ if callable(one) else ""
)
def test_a_fault_is_named(patient, monkeypatch, plant, title, words):
    plant(patient, monkeypatch)
    check(patient, title, words, questions.WRONG)


@pytest.mark.parametrize(
    ("plant", "title", "words"), WARNINGS, ids=lambda one: one.__name__ if callable(one) else ""
)
def test_a_warning_is_no_more(patient, monkeypatch, plant, title, words):
    plant(patient, monkeypatch)
    check(patient, title, words, questions.WARNING)


def ask(home: Home, title: str) -> questions.Answer:
    """The answer to the question whose title begins so."""
    [question] = [one for one in command.QUESTIONS if one.title.startswith(title)]
    return questions.answer(home, question)


def check(home: Home, title: str, words: str, state: str) -> None:
    """The question names the fault, and nothing else."""
    one = ask(home, title)
    assert one.state == state and any(words in fault.text for fault in one.faults), one
    assert {fault.is_warning for fault in one.faults} == {state == questions.WARNING}


def test_no_fault_hides_another(patient, monkeypatch):
    for plant in (no_key, no_copy, half_lock, dead_service, old_backup, lost_upload_key):
        plant(patient, monkeypatch)
    names = {title for title, one in answers_of(monkeypatch).items() if one.faults}
    assert names == {
        "the permanent key is the one that the ledger notes",
        "every release has its plain copy",
        "no run has half a lock of DVC",
        "what was started still runs",
        "the last backup is young enough",
        "uploads have their keys and their pieces",
    }


def test_a_foreign_listener_is_named_and_our_own_is_not(patient, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv(environment.MLFLOW_PORT_VARIABLE, str(taken.getsockname()[1]))
        assert "MLFLOW_PORT" in ask(patient, "the ports").faults[0].text
        service = processes.Service(
            name="mlflow-server",
            command=(sys.executable, "-c", "import time; time.sleep(600)"),
            environment=dict(os.environ),
        )
        with monkeypatch.context() as patch:
            patch.setattr(processes, "port_is_free", lambda _: True)
            processes.start(patient, [service])
        assert not ask(patient, "the ports").faults
        processes.stop(patient)


def test_a_database_that_is_locked_is_named(patient, monkeypatch):
    from pipeline.cli.doctor import services

    monkeypatch.setattr(services, "LOCK_SECONDS", 0.1)
    with closing(sqlite3.connect(patient.mlflow_database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        one = ask(patient, "MLflow's database")
    assert one.state == questions.WARNING and "is locked" in one.faults[0].text


def test_a_dag_that_is_no_python_is_named(patient, monkeypatch, tmp_path):
    from pipeline.cli.doctor import services

    files.write_text(tmp_path / "code" / "dags" / "refresh.py", "def (:\n")
    monkeypatch.setattr(services, "project_root", lambda: tmp_path / "code")
    assert "dags/refresh.py" in ask(patient, "every DAG").faults[0].text


def test_a_relative_home_is_named_and_ends_with_1(patient, monkeypatch, capsys):
    monkeypatch.chdir(patient.root.parent)
    monkeypatch.setattr(settings, "dataset_names", list)
    monkeypatch.setenv(HOME_VARIABLE, "home")
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "wrong    the home's path is absolute"
    assert "SYNDASERA_HOME is relative" in told[1] and "1 wrong" in told[-1]


def test_what_a_source_holds_is_never_said(patient, monkeypatch):
    """An error that nobody expected is told by its type."""

    def fail(home):
        raise ValueError("ZQXVALUE")
        yield

    one = questions.answer(patient, questions.Question("x", fail))
    assert "ValueError" in one.faults[0].text and "ZQX" not in one.faults[0].text
