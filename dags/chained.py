"""A task that starts a run of another DAG and waits for its end, without a worker that waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.providers.standard.triggers.external_task import DagStateTrigger
from airflow.sdk.exceptions import AirflowSkipException

POLL_SECONDS = 10
Form = Callable[[Mapping[str, Any], str], dict[str, Any] | None]


class Chained(TriggerDagRunOperator):
    """Starts the run that `form` describes, under the run id of its own run; skipped where `form`
    gives None. A run that an attempt before this one started is waited for and not started again.
    """

    def __init__(self, *, form: Form, **options: Any) -> None:
        super().__init__(
            trigger_run_id="{{ run_id }}",
            logical_date=None,
            wait_for_completion=True,
            deferrable=True,
            poke_interval=POLL_SECONDS,
            retries=2,
            retry_delay=timedelta(seconds=10),
            **options,
        )
        self.form = form

    def execute(self, context: Any) -> Any:
        run_id = str(context["run_id"])
        self.conf = self.form(context["params"], run_id)
        if self.conf is None:
            raise AirflowSkipException("not asked for")
        if context["ti"].get_dr_count(self.trigger_dag_id, run_ids=[run_id]):
            self.defer(
                trigger=DagStateTrigger(
                    dag_id=self.trigger_dag_id,
                    states=[*self.allowed_states, *self.failed_states],
                    run_ids=[run_id],
                    poll_interval=POLL_SECONDS,
                ),
                method_name="execute_complete",
            )
        return super().execute(context)


def refresh_of(request: Mapping[str, Any], run_id: str) -> dict[str, Any] | None:
    """What the form of `refresh` gets; None for a draw alone."""
    if request["kind"] != "training":
        return None
    names = ("dataset", "epsilon", "rows", "asked_by")
    form = {name: request[name] for name in names if request[name] is not None}
    return form | {"release_id": release_id_of(request, run_id), "again": True}


def draw_of(request: Mapping[str, Any], run_id: str) -> dict[str, Any] | None:
    """What the form of `draw` gets; None for a training without a plan. A training's own extract
    has its release id, the one that is drawn by a plan has `-d` after it.
    """
    release_id, is_training = release_id_of(request, run_id), request["kind"] == "training"
    if is_training and not request["plan"]:
        return None
    names = ("rows", "plan", "asked_by")
    form = {name: request[name] for name in names if request[name] is not None}
    if is_training:
        return form | {"model_of": release_id, "release_id": f"{release_id}-d"}
    return form | {"model_of": request["model_of"], "release_id": release_id}


def release_id_of(request: Mapping[str, Any], run_id: str) -> str:
    """The form's, else `request-` and what of the run's id may stand in one."""
    words = "".join(letter if letter.isalnum() else "-" for letter in run_id.lower())
    return str(request["release_id"] or f"request-{words}"[:38].strip("-"))
