"""What lies in a home is its owner's alone, but for the released zone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import environment, files
from pipeline.catalog import Home, project_root
from pipeline.runs import version_stores
from pipeline.services import airflow_server, processes, tracking


@pytest.fixture(autouse=True)
def careless() -> Iterator[None]:
    """The person's own umask lets everybody do everything."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_paths(home: Home) -> list[str]:
    """What others than the owner may read, write or run, outside the released zone."""
    paths = [path for path in home.root.rglob("*") if not path.is_relative_to(home.released)]
    return [
        str(path.relative_to(home.root))
        for path in sorted(paths)
        if not path.is_symlink() and path.lstat().st_mode & (0o066 if path == home.state else 0o077)
    ]


def test_a_command_writes_for_its_owner_alone(home: Home) -> None:
    commands = (
        ("ledger", "open", "adult", "--reason", "tests"),
        ("ledger", "export", "--out", str(home.state / "export.json")),
        ("budget-report",),
    )
    for words in commands:
        subprocess.run(
            [sys.executable, "-m", "pipeline", *words],
            env=environment.for_stages() | {"PYTHONPATH": str(project_root())},
            check=True,
            capture_output=True,
        )
    home.state.chmod(0o700)  # the test made it
    assert open_paths(home) == []
    assert home.ledger_file.is_file() and home.budget_report.page.is_file()


def test_a_service_writes_for_its_owner_alone(home: Home) -> None:
    """Its log, what it writes where it starts, and what its own children write."""
    writes = "umask; echo one > beside.db; (mkdir -p deeper; echo two > deeper/x.log); sleep 60"
    service = processes.Service(
        name="mlflow-server",
        command=("bash", "-c", writes),
        environment=environment.for_services(home.root),
    )
    processes.start(home, [service])
    try:
        last = home.state / "services" / "mlflow-server" / "deeper" / "x.log"
        until = time.monotonic() + 120
        while not (last.is_file() and last.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        processes.stop(home)
    logs = home.state / "logs" / "mlflow-server.log"
    folder = home.state / "services" / "mlflow-server"
    for path in (folder, folder / "beside.db", last.parent, last, logs.parent):
        assert path.stat().st_mode & 0o077 == 0, path
    assert logs.read_text().strip() == "0077"
    home.set_modes()
    assert open_paths(home) == []


def test_files_of_before_are_mended(home: Home, tmp_path: Path) -> None:
    """A home as an older version left it: stores, databases, logs and a link that leads out."""
    outside = tmp_path / "outside.csv"
    outside.write_text("a source of the custodian's")
    version_stores.ensure(home)
    tracking.ensure(home)
    for name in (
        "state/airflow/airflow.db",
        "state/airflow/logs/dag_id=refresh/run/task/attempt=1.log",
        "state/logs/airflow-scheduler.log",
        "state/services/mlflow-server/basic_auth.db",
        "state/secrets.json",
        "state/ledger.url",
        "mlruns/artifacts/1/a/report/index.html",
        "runs/adult-1/restricted/stages.jsonl",
        "state/released/extracts/adult-1/card.json",
    ):
        path = home.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (home.state / "link").symlink_to(outside)
    (home.state / "logs" / "gone").symlink_to(tmp_path / "nowhere")
    assert len(open_paths(home)) > 20
    home.set_modes()
    assert open_paths(home) == []
    assert stat.S_IMODE(outside.stat().st_mode) == 0o666
    for path in (home.released, *home.released.rglob("*")):
        mode = path.stat().st_mode
        assert mode & 0o044 == 0o044 and mode & 0o022 == 0
        assert not path.is_dir() or mode & 0o011 == 0o011
    modes = {path: path.lstat().st_mode for path in home.root.rglob("*")}
    home.set_modes()
    assert modes == {path: path.lstat().st_mode for path in home.root.rglob("*")}
    version_stores.ensure(home)  # the owner still can


def test_airflow_keeps_its_logs_private(home: Home) -> None:
    variables = airflow_server.airflow_environment(home)
    prefix = "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW"
    assert int(variables[f"{prefix}_FOLDER_PERMISSIONS"], 8) == 0o700
    assert int(variables[f"{prefix}_FILE_PERMISSIONS"], 8) == 0o600


def test_the_released_zone_is_readable_whatever_wrote_it(home: Home) -> None:
    files.private_umask()
    version_stores.ensure(home)
    (home.published / "adult-1").mkdir(parents=True)
    (home.published / "adult-1" / "card.json").write_text("a card")
    files.open_to_readers(home.released)
    for path in (home.released, *home.released.rglob("*")):
        assert path.stat().st_mode & 0o044 == 0o044, path
