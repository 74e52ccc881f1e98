"""A small client of Airflow's REST API v2: trigger a DAG, ask how it goes, answer an approval.
Standard library only.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.refusal import Refusal

PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
# for one answer: on a machine whose cores are busy the server may take minutes
ANSWER_SECONDS = 300
MOST_TASKS = 100  # in one answer


class AirflowRefusal(Refusal):
    """Airflow said no. `status`: of HTTP, 404: not there, 409: there already."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class AirflowApi:
    """One signed-in client. `address` like http://localhost:8080."""

    address: str
    user: str
    password: str
    patience: float = ANSWER_SECONDS
    _token: str | None = field(default=None, repr=False)

    def health(self) -> dict[str, str | None]:
        """Part of Airflow to its status, "healthy" or not; empty while the API server does not
        answer.
        """
        try:
            parts = self.call("GET", "/api/v2/monitor/health", signed_in=False)
        except (ConnectionError, urllib.error.URLError, TimeoutError, ValueError):
            return {}
        return {part: (parts.get(part) or {}).get("status") for part in PARTS}

    def is_healthy(self) -> bool:
        """Whether every part reports to a running API server."""
        return set(self.health().values()) == {"healthy"}

    def has_dag(self, dag: str) -> bool:
        try:
            return bool(self.call("GET", f"/api/v2/dags/{dag}"))
        except ValueError:
            return False

    def trigger(self, dag: str, conf: Mapping[str, Any], run_id: str | None = None) -> str:
        """Starts a run with these form values, its release id as its note; returns the run's id,
        which is `run_id` where one is given.

        Raises Refusal for a value that the form does not allow, and (409) where there is a run of
        that id.
        """
        run = {"logical_date": None, "conf": dict(conf), "note": conf.get("release_id")}
        if run_id is not None:
            run["dag_run_id"] = run_id
        return str(self.call("POST", f"/api/v2/dags/{dag}/dagRuns", run)["dag_run_id"])

    def run_state(self, dag: str, run: str) -> str:
        return str(self.call("GET", f"/api/v2/dags/{dag}/dagRuns/{_url_part(run)}")["state"])

    def runs(self, dag: str, limit: int = 30) -> list[dict[str, Any]]:
        """The last runs of a DAG, newest first, each with dag_run_id, state, conf, run_after."""
        query = f"order_by=-run_after&limit={limit}"
        runs: list[dict[str, Any]] = self.call("GET", f"/api/v2/dags/{dag}/dagRuns?{query}")[
            "dag_runs"
        ]
        return runs

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Task instances, each with task_id, state, duration (seconds), try_number."""
        instances: list[dict[str, Any]] = self.call(
            "GET", f"/api/v2/dags/{dag}/dagRuns/{_url_part(run)}/taskInstances"
        )["task_instances"]
        return instances

    def running_since(self, moment: datetime) -> list[tuple[str, str]]:
        """(DAG, run) of every run with a task that began before `moment` and still runs. A task
        that waits for a person does not run.
        """
        query = urllib.parse.urlencode(
            {"state": "running", "start_date_lte": moment.isoformat(), "limit": MOST_TASKS}
        )
        answer = self.call("GET", f"/api/v2/dags/~/dagRuns/~/taskInstances?{query}")
        return sorted({(one["dag_id"], one["dag_run_id"]) for one in answer["task_instances"]})

    def errors(self) -> list[str]:
        """Import errors of DAG files."""
        return [
            str(error["stack_trace"])
            for error in self.call("GET", "/api/v2/importErrors")["import_errors"]
        ]

    def answer(
        self, dag: str, run: str, task: str, option: str, answered_by: str | None = None
    ) -> None:
        """Answers an approval task that is awaiting input. `answered_by`: for whom the portal's own
        user answers; of other users it is not read.
        """
        params_input = {} if answered_by is None else {"answered_by": answered_by}
        self.call(
            "PATCH",
            f"/api/v2/dags/{dag}/dagRuns/{_url_part(run)}/taskInstances/{task}/-1/hitlDetails",
            {"chosen_options": [option], "params_input": params_input},
        )

    def reply(self, dag: str, run: str, task: str) -> dict[str, Any]:
        """What was answered to an approval task, with responded_by_user, whom Airflow knows by the
        token that answered. Raises Refusal (404) where that task never asked.
        """
        of_run = f"/api/v2/dags/{dag}/dagRuns/{_url_part(run)}"
        detail: dict[str, Any] = self.call("GET", f"{of_run}/taskInstances/{task}/-1/hitlDetails")
        return detail

    def call(self, method: str, path: str, body: Any = None, signed_in: bool = True) -> Any:
        """Any other question: the parsed answer. Raises Refusal with what Airflow said where it
        refuses.
        """
        has_token = signed_in and self._token is not None
        headers = {"Content-Type": "application/json"}
        if signed_in:
            headers["Authorization"] = f"Bearer {self._sign_in()}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.address + path, data=data, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=self.patience) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")[:500]
            if error.code == 401 and has_token:  # it grew old, or Airflow was set up anew
                self._token = None
                return self.call(method, path, body)
            text = f"Airflow said {error.code} to {method} {path}: {detail}"
            raise AirflowRefusal(text, error.code) from None

    def _sign_in(self) -> str:
        if self._token is None:
            answer = self.call(
                "POST",
                "/auth/token",
                {"username": self.user, "password": self.password},
                signed_in=False,
            )
            self._token = str(answer["access_token"])
        return self._token


def _url_part(run: str) -> str:
    return urllib.parse.quote(run, safe="")
