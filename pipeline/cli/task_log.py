"""What a task of an Airflow run printed, read from Airflow's own files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.catalog import Home

AIRFLOWS_OWN = ("Running command", "Output:", "Tmp dir root", "Command exited", "Unable to")
CLOCK = re.compile(r"^\d\d:\d\d:\d\d ")
# dvc's last words about a stage: they say why it ended only where nothing of Python's could.
DVC_FAILURE = re.compile(r"^ERROR: failed to reproduce .* exited with (-?\d+)$")
PYTHON_EXIT_CODES = ("1", "2")  # the stage itself said why, on the lines before


@dataclass(frozen=True)
class TaskLog:
    """Where the log of one attempt at a task lies."""

    home: Home
    dag: str
    run: str
    task: str
    attempt: int

    @property
    def path(self) -> Path:
        names = (f"dag_id={self.dag}", f"run_id={self.run}", f"task_id={self.task}")
        return self.home.airflow.joinpath("logs", *names, f"attempt={self.attempt}.log")

    def entries(self) -> Iterator[dict[str, object]]:
        if not self.path.is_file():
            return
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry

    def lines(self) -> list[str]:
        """What the command printed, without Airflow's own lines."""
        events = (
            str(entry.get("event", ""))
            for entry in self.entries()
            if "subprocess" in str(entry.get("logger", "")).lower()
        )
        return [line for line in events if line and not line.startswith(AIRFLOWS_OWN)]

    def last_line(self) -> str:
        """The newest line without its clock; empty where there is none yet."""
        lines = self.lines()
        return CLOCK.sub("", lines[-1])[:160] if lines else ""

    def failure_reason(self) -> str:
        """Why the attempt failed: the stage's last words, or how its process ended."""
        for line in reversed(self.lines()):
            failure = DVC_FAILURE.match(line)
            if failure is None:
                return CLOCK.sub("", line)[:300]
            if failure[1] not in PYTHON_EXIT_CODES:
                return f"its process was ended from outside or crashed (exit code {failure[1]})"
        errors = [
            str(entry.get("event")) for entry in self.entries() if entry.get("level") == "error"
        ]
        if errors:
            return errors[-1][:300]
        return f"its log has no word about it: {self.path}"
