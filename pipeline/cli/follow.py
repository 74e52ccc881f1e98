"""Follows a DAG run to its end: a line per task with state and seconds, and what the running stage
said last.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from pipeline.catalog import Home
from pipeline.cli.console import say
from pipeline.services.airflow_api import AirflowApi

ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
POLL_SECONDS, LINE_SECONDS = 1.0, 10.0


def follow(home: Home, api: AirflowApi, dag: str, run: str) -> str:
    """Prints progress until the run ends; returns its state, success or failed."""
    begun, told, last_line = time.monotonic(), set[tuple[str, str, int]](), 0.0
    while True:
        state = api.run_state(dag, run)
        tasks = sorted(api.tasks(dag, run), key=lambda task: task.get("start_date") or "9")
        for task in tasks:
            seen = (task["task_id"], task["state"] or "", task["try_number"])
            if task["state"] in (*ENDED, "up_for_retry", "awaiting_input") and seen not in told:
                told.add(seen)
                _say_task(task, time.monotonic() - begun)
        running = [task for task in tasks if task["state"] == "running"]
        if running and time.monotonic() - last_line > LINE_SECONDS:
            last_line = time.monotonic()
            said = last_log_line(home, dag, run, running[0]["task_id"], running[0]["try_number"])
            say(f"  {_clock(time.monotonic() - begun)}  ... {running[0]['task_id']}: {said}")
        if state in ("success", "failed"):
            return state
        time.sleep(POLL_SECONDS)


def _say_task(task: dict, elapsed: float) -> None:
    if task["state"] == "upstream_failed":
        return
    seconds = f"{task['duration']:7.1f} s" if task.get("duration") else " " * 9
    hint = ""
    if task["state"] == "awaiting_input":
        hint = "  a person must answer: Airflow, Required Actions"
    if task["state"] == "up_for_retry":
        hint = "  will be tried again"
    say(f"  {_clock(elapsed)}  {task['task_id']:<15} {task['state']:<9} {seconds}{hint}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def task_log(home: Home, dag: str, run: str, task: str, attempt: int) -> Path:
    return (
        home.airflow
        / "logs"
        / f"dag_id={dag}"
        / f"run_id={run}"
        / f"task_id={task}"
        / f"attempt={attempt}.log"
    )


def log_lines(home: Home, dag: str, run: str, task: str, attempt: int) -> list[str]:
    """What the stage itself printed, without Airflow's own lines."""
    path = task_log(home, dag, run, task, attempt)
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "subprocess" in str(entry.get("logger", "")).lower():
            lines.append(str(entry.get("event", "")))
    return lines


def last_log_line(home: Home, dag: str, run: str, task: str, attempt: int) -> str:
    said = [
        line
        for line in log_lines(home, dag, run, task, attempt)
        if line and not line.startswith(("Running command", "Output:", "Tmp dir root"))
    ]
    return said[-1][:120] if said else "running"
