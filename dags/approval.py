"""Questions to a person: who may answer, who is told, and what a stage gets of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator

from dags.notifiers import End, Question
from pipeline import params
from pipeline.catalog import Home
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
            notifiers=[Question()],
            on_failure_callback=[End()],
            **options,
        )
        self.asked_by = asked_by

    def execute(self, context: Any) -> Any:
        if context["ti"].xcom_pull(task_ids=self.asked_by) == BY_ITSELF:
            self.log.info("Nobody is asked: the run may approve itself.")
            return None
        self.assigned_users = others(self.assigned_users, context["dag_run"].triggering_user_name)
        return super().execute(context)


def others(users: Any, asker: str | None) -> list[Any]:
    """The users but the one who started the run. The portal stays: it keeps people from answering
    for themselves by their own names.
    """
    return [user for user in users if user["id"] == PORTAL_USER or user["id"] != asker]


def reply(ti: Any, task_id: str) -> Mapping[str, Any]:
    """What a person answered in a task of this run; empty where nobody was asked. It is read where
    Airflow keeps it beside the user who gave it: the XCom that says the same can be written by
    every user who may start a run.
    """
    from pipeline.services.airflow_api import ANSWER_SECONDS
    from pipeline.services.airflow_server import portal_account

    if not ti.xcom_pull(task_ids=task_id):
        return {}
    api = portal_account(Home.find(), patience=ANSWER_SECONDS)
    return api.reply(ti.dag_id, ti.run_id, task_id)


def chosen(detail: Mapping[str, Any]) -> str:
    """The option that was chosen; empty where nobody was asked, or answered."""
    return str((detail.get("chosen_options") or [""])[0])


def answered_by(detail: Mapping[str, Any]) -> str:
    """Who answered: the user of Airflow or, of the portal's own user, the person that it names."""
    user = detail.get("responded_by_user") or {}
    if user.get("id") == PORTAL_USER:
        return str((detail.get("params_input") or {}).get("answered_by") or PORTAL_USER)
    return str(user.get("name") or "")


MACROS = {"reply": reply, "chosen": chosen, "answered_by": answered_by}


def answer(task_id: str) -> Mapping[str, str]:
    """For a stage: what a person answered in that task, and who; empty where nobody was asked."""
    return {
        "SYNDASERA_ANSWER": f"{{{{ chosen(reply(ti, '{task_id}')) }}}}",
        "SYNDASERA_ANSWERED_BY": f"{{{{ answered_by(reply(ti, '{task_id}')) }}}}",
    }
