"""Follows a DAG run on the console: what each stage does, how long it may take, how it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from pipeline.catalog import Home
from pipeline.cli.console import say
from pipeline.cli.task_log import TaskLog
from pipeline.services.airflow_api import AirflowApi
from pipeline.stages import STAGES, announcement

POLL_SECONDS, LINE_SECONDS = 1.0, 15.0
Task = dict[str, Any]  # a task instance as Airflow's API describes it


def follow(home: Home, api: AirflowApi, dag: str, run: str) -> str:
    """Prints progress until the run ends; returns its state, success or failed."""
    progress = Progress(home, dag, run)
    while True:
        state = api.run_state(dag, run)
        progress.show(api.tasks(dag, run))
        if state in ("success", "failed"):
            return state
        time.sleep(POLL_SECONDS)


@dataclass
class Progress:
    """What the console has announced of a run so far."""

    home: Home
    dag: str
    run: str
    begin: float = field(default_factory=time.monotonic)
    announced: set[tuple[str, str, int]] = field(default_factory=set)  # task, state, attempt
    last_line_at: float = field(default_factory=time.monotonic)

    def show(self, tasks: list[Task]) -> None:
        """A line for every task whose state is new, and now and then what a long one does."""
        for task in sorted(tasks, key=lambda task: task.get("start_date") or "9"):
            key = (task["task_id"], task["state"] or "", task["try_number"])
            if key not in self.announced:
                self.announced.add(key)
                self._show_change(task)
        running = [task for task in tasks if task["state"] == "running"]
        if running and time.monotonic() - self.last_line_at > LINE_SECONDS:
            task = running[0]
            self._say(f"    ... {self._last_line(task) or f'{short_name(task)} is running'}")

    def _show_change(self, task: Task) -> None:
        name, state, attempt = short_name(task), task["state"], task["try_number"]
        if state == "running" and name in STAGES:
            self._say(announcement(name) + (f", attempt {attempt}" if attempt > 1 else ""))
        elif state == "awaiting_input":
            self._say(f"  {name}: a person must answer in Airflow, under Required Actions")
        elif state == "up_for_retry":
            reason = self._log(task).failure_reason()
            self._say(
                f"  {name}: attempt {attempt} failed; Airflow tries again soon. Why: {reason}"
            )
        elif state == "skipped" and task.get("duration"):
            self._say(f"  {self._last_line(task) or f'{name}: not needed'}")
        elif state == "success" and task.get("duration"):
            self._say(f"  {name}: done in {task['duration']:.0f} s")
        elif state == "failed":
            self._say(f"  {name}: failed. Why: {self._log(task).failure_reason()}")

    def _last_line(self, task: Task) -> str:
        """What the task said last; it begins with the name of its command."""
        return self._log(task).last_line()

    def _log(self, task: Task) -> TaskLog:
        return TaskLog(self.home, self.dag, self.run, task["task_id"], task["try_number"])

    def _say(self, text: str) -> None:
        seconds = int(time.monotonic() - self.begin)
        say(f"  {seconds // 60}:{seconds % 60:02d}  {text}")
        self.last_line_at = time.monotonic()


def short_name(task: Task) -> str:
    """The name without the groups that the task stands in."""
    return str(task["task_id"]).rpartition(".")[2]
