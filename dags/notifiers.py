"""Whom Airflow tells, and of what: custodians, by the block `portal` of params.yaml, in public
words only, and else the task's log.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.bases.notifier import BaseNotifier
from airflow.sdk.exceptions import AirflowFailException

from pipeline import portal_params
from pipeline.catalog import Home
from pipeline.services import findings, notices
from pipeline.stages import STAGES


class Question(BaseNotifier):
    """Tells that a run waits for a person."""

    def notify(self, context: Any) -> None:
        _tell(f"Syndasera: {context['task'].subject}", "It waits in the portal.")


class End(BaseNotifier):
    """Tells that a task has refused, or failed for good. Of a stage that reads rows it says one
    word, *stopped*, and not which stage it was: that may depend on them (privacy_rules.md 2).
    """

    def notify(self, context: Any) -> None:
        run = context["dag_run"]
        release = (run.conf or {}).get("release_id")
        name = f"release {release}" if release else f"run {run.run_id} of {run.dag_id}"
        word = end_in_a_word(str(context["task"].task_id), context.get("exception"))
        _tell(f"Syndasera: {name} {word}", "Airflow says where and why.")


class Findings(BaseNotifier):
    """Tells what the watch found, each thing once a day."""

    def notify(self, context: Any) -> None:
        findings.tell(Home.find())


def end_in_a_word(task_id: str, error: object) -> str:
    """stopped, refused or failed."""
    if task_id in STAGES and STAGES[task_id].reads_rows:
        return "stopped"
    return "refused" if isinstance(error, AirflowFailException) else "failed"


def _tell(subject: str, text: str) -> None:
    settings = portal_params.load(Home.find().params)
    notices.send(settings, settings.mail_to, subject, text)
