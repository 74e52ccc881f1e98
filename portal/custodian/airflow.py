"""What the bridge and the pages ask of Airflow; `AirflowApi` answers it."""

from __future__ import annotations

from typing import Any, Protocol

# what is raised while it does not answer: connections, time-outs, URLError
AWAY = OSError


class Airflow(Protocol):
    """Airflow, as the portal's own user."""

    def trigger(self, dag: str, conf: Any, run_id: str | None = None) -> str: ...
    def run_state(self, dag: str, run: str) -> str: ...
    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]: ...
    def runs(self, dag: str, limit: int = 30) -> list[dict[str, Any]]: ...
    def answer(
        self, dag: str, run: str, task: str, option: str, answered_by: str | None = None
    ) -> None: ...
