"""What `make` says where something is in the way: one clear line, nothing removed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import environment
from pipeline.catalog import Home, project_root
from pipeline.environment import HOME_VARIABLE
from pipeline.ledger import Ledger
from pipeline.services import airflow_server, processes


def make(*targets: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *targets],
        cwd=project_root(),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def open_population(home: Home, kind: str) -> None:
    Ledger(home.ledger).open_population(
        "somebody",
        universe="people",
        nominal_size=1000,
        epsilon=3.0,
        delta=1e-6,
        ceiling_epsilon=3.0,
        kind=kind,
        reason="a test",
        by="test",
    )


def test_clean_refuses_where_the_ledger_holds_confidential_people(home):
    open_population(home, "confidential")
    done = make("clean", **{HOME_VARIABLE: str(home.root)})
    assert done.returncode != 0
    assert "somebody, which is neither simulated nor public" in done.stderr
    assert home.ledger_file.is_file()


@pytest.mark.parametrize("kind", ["simulated", "public"])
def test_clean_removes_the_state_of_simulated_and_public_data_and_nothing_else(home, kind):
    open_population(home, kind)
    home.runs.mkdir()
    kept = home.root / "mine.txt"
    kept.write_text("mine")
    done = make("clean", **{HOME_VARIABLE: str(home.root)})
    assert done.returncode == 0, done.stderr
    assert not home.state.exists() and not home.runs.exists() and kept.exists()


def test_a_wrong_python_is_one_line(tmp_path):
    copy = tmp_path / "clone"
    (copy / "scripts").mkdir(parents=True)
    shutil.copy(project_root() / "scripts" / "setup.sh", copy / "scripts")
    shutil.copy(project_root() / "requirements.lock", copy)
    fake = tmp_path / "python3.12"
    fake.write_text("#!/bin/sh\necho 3.12\n")
    fake.chmod(0o755)
    done = subprocess.run(
        ["sh", "scripts/setup.sh"],
        cwd=copy,
        env={**os.environ, "PYTHON": str(fake)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert (
        done.stderr.startswith("Set-up stopped: Python 3.11 is needed")
        and len(done.stderr.splitlines()) == 1
    )


@pytest.mark.parametrize("goal", ["run", "up", "refresh"])
@pytest.mark.parametrize("port", ["taken", "no port", "70000"])
def test_a_port_in_use_is_said_before_set_up(tmp_path, goal, port):
    """In one line, before an environment is made or a patient simulated."""
    copy = tmp_path / "clone"
    (copy / "scripts").mkdir(parents=True)
    for name in ("scripts/setup.sh", "requirements.lock", "Makefile"):
        shutil.copy(project_root() / name, copy / name)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        text = str(taken.getsockname()[1]) if port == "taken" else port
        done = subprocess.run(
            ["make", "--no-print-directory", goal],
            cwd=copy,
            env={**os.environ, "PYTHON": sys.executable, "AIRFLOW_PORT": text},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"Set-up stopped: port {text} is used by another program, or")
    assert "AIRFLOW_PORT=..." in done.stderr.splitlines()[0]
    assert {path.name for path in copy.iterdir()} == {"scripts", "requirements.lock", "Makefile"}


@pytest.mark.parametrize("goal", ["up", "run"])
def test_a_port_in_use_is_said_before_anything_is_made(home, monkeypatch, goal):
    from pipeline.cli.parser import main

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv(environment.AIRFLOW_PORT_VARIABLE, str(taken.getsockname()[1]))
        assert main([goal]) == 2
    assert list(home.state.iterdir()) == []


def test_a_port_of_our_own_is_no_fault(home):
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        ours.listen()
        port = ours.getsockname()[1]
        service = processes.Service(
            name="portal-public",
            command=(sys.executable, "-c", "import time; time.sleep(600)"),
            environment=dict(os.environ),
        )
        with pytest.raises(ValueError, match=f"port {port} for portal-public"):
            processes.check_ports(home, {"portal-public": port})
        processes.start(home, [service])
        processes.check_ports(home, {"portal-public": port})
        processes.stop(home)


def test_no_network_is_one_line(tmp_path):
    copy = tmp_path / "clone"
    (copy / "scripts").mkdir(parents=True)
    shutil.copy(project_root() / "scripts" / "setup.sh", copy / "scripts")
    (copy / "requirements.lock").write_text("a-package-that-nobody-has-cached==1.0\n")
    environment = {
        **os.environ,
        "UV_INDEX_URL": "http://127.0.0.1:9/simple",
        "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple",
        "UV_HTTP_TIMEOUT": "2",
        "UV_HTTP_RETRIES": "0",
        "UV_NO_CONFIG": "1",
        "UV_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
    }
    done = subprocess.run(
        ["sh", "scripts/setup.sh"],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Set-up stopped: no network" in done.stderr.splitlines()[-1]
    assert not (copy / ".venv" / "installed-from.lock").exists()


def test_a_port_in_use_is_named_and_nothing_is_started(home, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv(environment.AIRFLOW_PORT_VARIABLE, str(port))
        with pytest.raises(
            ValueError,
            match=(
                f"port {port} for airflow-api-server is used by another program; choose another"
                " with AIRFLOW_PORT"
            ),
        ):
            processes.start(home, airflow_server.airflow_services(home))
    assert processes.running_services(home) == {}


def test_a_full_disk_is_said_before_anything_is_made(home, monkeypatch):
    from collections import namedtuple

    from pipeline.cli import services

    monkeypatch.setattr(
        services.shutil, "disk_usage", lambda _: namedtuple("usage", "free")(10_000_000)
    )
    with pytest.raises(ValueError, match=r"the disk is nearly full: 0.0 GB free"):
        services.setup()
    assert not home.released_store.exists()


def test_a_process_id_that_somebody_else_got_is_not_ours(home):
    from pipeline import files

    files.write_json(
        home.state / "services.json", {"airflow-scheduler": {"pid": os.getpid(), "created": 1.0}}
    )
    assert processes.running_services(home) == {}
    assert processes.stop(home) == []


def test_what_is_started_is_stopped_with_its_children(home, tmp_path):
    script = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time;"
        " time.sleep(600)'], start_new_session=True); time.sleep(600)"
    )
    service = processes.Service(
        name="sleeper", command=(sys.executable, "-c", script), environment=dict(os.environ)
    )
    assert processes.start(home, [service]) == ["sleeper"]
    assert processes.start(home, [service]) == []  # it runs already
    process = processes.running_services(home)["sleeper"]
    while not (children := process.children(recursive=True)):
        time.sleep(0.05)
    assert processes.stop(home) == ["sleeper"]
    assert not any(
        child.is_running() and child.status() != "zombie" for child in [process, *children]
    )


def test_passwords_are_drawn_once_and_readable_by_the_owner_only(home):
    first = processes.secret(home, "airflow_password")
    assert processes.secret(home, "airflow_password") == first and len(first) >= 16
    assert Path(home.state / "secrets.json").stat().st_mode & 0o077 == 0


def test_waiting_ends_with_readiness_or_a_process_that_ended_or_nothing_that_moves(
    home, monkeypatch
):
    service = processes.Service(
        name="sleeper",
        command=(sys.executable, "-c", "import time; time.sleep(600)"),
        environment=dict(os.environ),
    )
    processes.start(home, [service])
    monkeypatch.setattr(processes, "STALL_SECONDS", 1.2)
    steps = iter(range(5))
    processes.wait_for(
        home, lambda: next(steps, None) is None, ["sleeper"], lambda: time.monotonic()
    )  # longer than the limit, but it moves
    with pytest.raises(RuntimeError, match=r"sleeper: not ready, and nothing has moved for 1.2 s"):
        processes.wait_for(home, lambda: False, ["sleeper"], lambda: 0)
    processes.stop(home)
    with pytest.raises(RuntimeError, match="sleeper ended by itself"):
        processes.wait_for(home, lambda: False, ["sleeper"], lambda: time.monotonic())
