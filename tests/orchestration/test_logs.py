"""Logs stay small while services write to them, and nothing else is touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import files
from pipeline.catalog import Home
from pipeline.night_params import LogsParams
from pipeline.services import logs

SMALL = LogsParams(most_mb=0.001, copies=2)  # 1,000 bytes


@pytest.fixture
def log(home: Home) -> Path:
    path = home.state / "logs" / "airflow-scheduler.log"
    files.write_text(path, "x" * 1001)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_long_log_is_turned_over_and_the_oldest_goes(home: Home, log: Path) -> None:
    for number in range(4):
        log.write_text(str(number) * 1001)
        logs.keep_small(home, SMALL)
        assert log.read_text() == ""
    assert names(log.parent) == [log.name, f"{log.name}.1", f"{log.name}.2"]
    assert [log.with_name(f"{log.name}.{n}").read_text()[0] for n in (1, 2)] == ["3", "2"]
    assert log.with_name(f"{log.name}.1").stat().st_mode & 0o077 == 0


def test_a_short_log_stays(home: Home, log: Path) -> None:
    log.write_text("x" * 1000)
    logs.keep_small(home, SMALL)
    assert names(log.parent) == [log.name] and len(log.read_text()) == 1000


def test_a_service_goes_on_writing_to_the_same_log(home: Home, log: Path) -> None:
    script = (
        "import sys\nfor line in sys.stdin:\n    sys.stdout.write(line); sys.stdout.flush()\n"
        "    sys.stderr.write('.'); sys.stderr.flush()"
    )
    with log.open("ab") as out:
        service = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert service.stdin and service.stderr
    for word in ("before", "after"):
        service.stdin.write(f"{word}\n")
        service.stdin.flush()
        assert service.stderr.read(1) == "."
        if word == "before":
            logs.keep_small(home, SMALL)
    service.communicate()
    assert log.read_text() == "after\n"
    assert log.with_name(f"{log.name}.1").read_text() == "x" * 1001 + "before\n"


def test_on_a_full_disk_the_log_is_emptied_and_the_copies_stay(
    home: Home, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.keep_small(home, SMALL)
    log.write_text("y" * 1001)

    def fail(_: Path, target: Path) -> None:
        target.write_text("half")
        raise OSError("no space left")

    monkeypatch.setattr(logs.shutil, "copyfile", fail)
    logs.keep_small(home, SMALL)
    assert log.read_text() == "" and names(log.parent) == [log.name, f"{log.name}.1"]
    assert log.with_name(f"{log.name}.1").read_text() == "x" * 1001


def test_a_home_without_logs_is_no_fault(home: Home) -> None:
    logs.keep_small(home, SMALL)
    assert list(home.state.iterdir()) == []
