"""Questions to a person: who may answer, who is told, and what a stage gets of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.bases.notifier import BaseNotifier

from pipeline import params
from pipeline.catalog import Home
from pipeline.services import notices
from pipeline.stages import BY_ITSELF, PORTAL_USER


class Approval(HITLOperator):
    """Asks a person to approve or reject, in the portal or, whom `approve.airflow_users` names, in
    Airflow. Goes on at once where the task before found that the run may approve itself.

    It decides nothing: the stages `confirm` and `approve` check again who may answer, record the
    answer, and stop a rejected release.
    """

    def __init__(self, *, asked_by: str, **options: Any) -> None:
        names = (PORTAL_USER, *params.load(Home.find().params).approve.airflow_users)
        super().__init__(
            options=["Approve", "Reject"],
            assigned_users=[{"id": name, "name": name} for name in names],
            notifiers=[Notice()],
            **options,
        )
        self.asked_by = asked_by

    def execute(self, context: Any) -> Any:
        if context["ti"].xcom_pull(task_ids=self.asked_by) == BY_ITSELF:
            self.log.info("Nobody is asked: the run may approve itself.")
            return None
        self.assigned_users = others(self.assigned_users, context["dag_run"].triggering_user_name)
        return super().execute(context)


class Notice(BaseNotifier):
    """Tells custodians that a run waits for a person: where `portal` in params.yaml says, else in
    the task's log.
    """

    def notify(self, context: Any) -> None:
        settings = params.load(Home.find().params).portal
        task = context["task"]
        notices.send(
            settings, settings.mail_to, f"Syndasera: {task.subject}", "It waits in the portal."
        )


def others(users: Any, asker: str | None) -> list[Any]:
    """The users but the one who started the run. The portal stays: it keeps people from answering
    for themselves by their own names.
    """
    return [user for user in users if user["id"] == PORTAL_USER or user["id"] != asker]


def answer(task_id: str) -> Mapping[str, str]:
    """For a stage: what a person answered in that task, and who; empty where nobody was asked."""
    reply = f"ti.xcom_pull(task_ids='{task_id}')"
    return {
        "SYNDASERA_ANSWER": f"{{{{ (({reply} or {{}}).get('chosen_options') or [''])[0] }}}}",
        "SYNDASERA_ANSWERED_BY": f"{{{{ answered_by({reply}) }}}}",
    }
