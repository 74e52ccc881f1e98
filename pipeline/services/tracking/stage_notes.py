"""How each attempt at a stage ended, noted in the workspace by the stage itself: a line of JSON,
without MLflow.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from pipeline import environment
from pipeline.catalog import Workspace


@dataclass(frozen=True, kw_only=True)
class Note:
    """How one attempt at a stage ended."""

    stage: str
    started_ms: int
    seconds: float
    status: str  # FINISHED or FAILED
    airflow_run: str | None

    @property
    def end_ms(self) -> int:
        return self.started_ms + int(self.seconds * 1000)


def note(
    workspace: Workspace, *, stage: str, started: datetime, seconds: float, status: str
) -> None:
    """Appends how a stage ended to the workspace's notes. Costs nothing."""
    entry = Note(
        stage=stage,
        started_ms=int(started.timestamp() * 1000),
        seconds=round(seconds, 3),
        status=status,
        airflow_run=environment.airflow_run(),
    )
    path = notes_path(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(entry)) + "\n")


def read_notes(workspace: Workspace) -> list[Note]:
    """Every note in the order in which the stages ended; a line that a crash cut off is left
    out.
    """
    path = notes_path(workspace)
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Note(**json.loads(line)) for line in lines if line.endswith("}")]


def notes_path(workspace: Workspace) -> Path:
    return workspace.restricted.stages
