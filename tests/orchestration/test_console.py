"""What a person reads while a run goes: which stage of how many, and why it is tried again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.catalog import project_root
from pipeline.cli.follow import Progress
from pipeline.cli.task_log import TaskLog
from pipeline.stages import STAGES, announcement

STOPPED = "12:00:00 train: stopped by OSError at train.py:12; the full report is restricted/errors/"


def task_log(home, task: str, lines: list[str], attempt: int = 1) -> TaskLog:
    log = TaskLog(home, "refresh", "run-1", task, attempt)
    log.path.parent.mkdir(parents=True, exist_ok=True)
    logger = "airflow.task.hooks.SubprocessHook"
    entries = [{"logger": logger, "level": "info", "event": line} for line in lines]
    log.path.write_text("not JSON\n" + "".join(json.dumps(entry) + "\n" for entry in entries))
    return log


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            [STOPPED, "ERROR: failed to reproduce 'train': failed to run: x, exited with 1"],
            STOPPED.removeprefix("12:00:00 "),
        ),
        (
            [
                "12:00:00 train: table: pairs measured",
                "ERROR: failed to reproduce 'train': failed to run: x, exited with -9",
                "Command exited with return code 1",
            ],
            "its process was ended from outside or crashed (exit code -9)",
        ),
        (["ERROR: Unable to acquire lock."], "ERROR: Unable to acquire lock."),
    ],
    ids=["the stage said why", "killed", "dvc said why"],
)
def test_why_an_attempt_failed(home, lines, reason):
    assert task_log(home, "train", lines).failure_reason() == reason


def test_an_attempt_that_never_ran_names_its_log_or_what_airflow_said(home):
    log = task_log(home, "train", [])
    assert str(log.path) in log.failure_reason()
    log.path.write_text(json.dumps({"logger": "task", "level": "error", "event": "no worker"}))
    assert log.failure_reason() == "no worker"


def test_stages_are_counted_and_a_retry_says_why(home, capsys):
    task_log(home, "groups.train", [STOPPED])
    task_log(home, "groups.needs_approval", ["12:00:00 needs-approval: the run approves itself"])
    progress = Progress(home, "refresh", "run-1")
    for state, attempt in [("running", 1), ("up_for_retry", 1), ("running", 2), ("success", 2)]:
        progress.show([task("groups.train", state, attempt)])
        progress.show([task("groups.train", state, attempt)])
    progress.show([task("groups.needs_approval", "skipped"), task("approval", "skipped", 0, None)])
    lines = [line.strip().partition("  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        announcement("train"),
        "  train: attempt 1 failed; Airflow tries again soon. Why: "
        + STOPPED.removeprefix("12:00:00 "),
        f"{announcement('train')}, attempt 2",
        "  train: done in 7 s",
        "  needs-approval: the run approves itself",
    ]
    assert lines[0].startswith("Stage 5 of 9, train: fit both models")


def task(name: str, state: str, attempt: int = 1, duration: float | None = 7.2) -> dict:
    return {"task_id": name, "state": state, "try_number": attempt, "duration": duration}


def test_the_hints_are_the_measured_seconds():
    rows = json.loads(Path(project_root() / "bench" / "results" / "refresh.json").read_text())
    measured = {row["stage"]: row["seconds"] for row in rows if row["patients"] == 5000}
    assert {name: stage.seconds for name, stage in STAGES.items()} == {
        name: round(measured[name]) for name in STAGES
    }
