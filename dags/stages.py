"""One stage of the pipeline is one task. The command is the one that a laptop runs.

Between tasks pass the release id, the dataset's name, the source's public label and the answer of a
person: nothing that was read from a patient's row. The questions that a person is asked show counts
of what ingest kept: Airflow is restricted (privacy_rules.md 1).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook, SubprocessResult
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset, TaskGroup
from airflow.sdk.exceptions import AirflowFailException

from dags.fields import datasets
from dags.notifiers import End
from pipeline import environment
from pipeline.catalog import Home
from pipeline.stages import PORTAL_USER, REFUSED, STAGES, repro_command

SOURCE = Asset(
    "source",
    uri="syndasera://source",
    group="syndasera",
    extra={
        "about": (
            "what a custodian declared; each event carries the dataset and the source's public"
            " label"
        )
    },
)
EXTRACT = Asset(
    "extract",
    uri="syndasera://extract",
    group="syndasera",
    extra={"about": "a published extract; each event carries the release id"},
)

DATASET = "{{ dataset_of(params, triggering_asset_events) }}"
_RELEASE_ID = (
    "params.release_id or dataset_of(params, triggering_asset_events) | replace('_', '-') ~ '-'"
    " ~ dag_run.run_after.strftime('%Y%m%d-%H%M%S')"
)
RELEASE_ID = f"{{{{ {_RELEASE_ID} }}}}"
ACCOUNT = f"{{{{ account({_RELEASE_ID}) }}}}"  # what ingest kept, for a question
WORKSPACE = f"{Home.find().runs}/{RELEASE_ID}"
DEPLOYMENT = Home.find().deployment
RETRIES = 2
CLOCK = re.compile(r"^\d\d:\d\d:\d\d ")  # what our log lines begin with


def dataset_of(form: Mapping[str, Any], events: Mapping[Asset, Any]) -> str:
    """The dataset of the last declaration that started a run, else the form's, else "draw"."""
    return (_datasets_of(events) or [form.get("dataset", "draw")])[-1]


def other_datasets(events: Mapping[Asset, Any]) -> str:
    """Datasets, with commas between, that were declared too but are not released by this run."""
    names = _datasets_of(events)
    return ",".join(sorted(set(names) - set(names[-1:])))


def _datasets_of(events: Mapping[Asset, Any]) -> list[str]:
    """Datasets of the events that started a run, in order. Raises ValueError for an unknown one."""
    names = [
        event.extra["dataset"] for event in events.get(SOURCE, ()) if event.extra.get("dataset")
    ]
    if unknown := sorted({str(name) for name in names} - set(datasets())):
        raise ValueError(
            f"an event of the asset {SOURCE.name} names {', '.join(unknown)}; the datasets are"
            f" {', '.join(datasets())}"
        )
    return names


def account(release_id: str) -> str:
    """What ingest kept of the source, in Markdown."""
    from pipeline.restricted import account_table
    from pipeline.runs import travel

    with travel.visiting(Home.find(), release_id, "account") as workspace:
        return f"```\n{account_table.question_or_reason(workspace.restricted)}\n```"


def asked_by(user: str | None, form: Mapping[str, Any]) -> str:
    """Who asked for a run: the user of Airflow who started it, or a run that started it. The form
    is read only where that is the portal's own user, whose password nobody else has: nobody else
    speaks for another person.
    """
    if user == PORTAL_USER:
        return str(form.get("asked_by") or PORTAL_USER)
    return user or "the schedule"


MACROS = {
    "dataset_of": dataset_of,
    "other_datasets": other_datasets,
    "account": account,
    "asked_by": asked_by,
}
ASKED_BY = "{{ asked_by(dag_run.triggering_user_name, params) }}"


class Subprocess(SubprocessHook):
    """Runs a command. A refusal (exit code 2) is an ERROR line with its reason, and not retried."""

    def run_command(self, *arguments: Any, **options: Any) -> SubprocessResult:
        result = super().run_command(*arguments, **options)
        if result.exit_code == REFUSED:
            reason = CLOCK.sub("", result.output)
            logging.getLogger("airflow.task").error("refused: %s", reason)
            raise AirflowFailException(f"refused: {reason}")
        return result


class Command(BashOperator):
    """One command of the pipeline. `event`: public facts for the events of the task's outlets."""

    template_fields = (*BashOperator.template_fields, "event")

    def __init__(self, *, event: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.event = dict(event or {})

    @cached_property
    def subprocess_hook(self) -> Subprocess:
        return Subprocess()

    def get_env(self, context: Any) -> dict[str, str]:
        """A command parses files that others wrote: it gets none of Airflow's own secrets."""
        return environment.without_service_secrets(super().get_env(context))

    def execute(self, context: Any) -> Any:
        output = super().execute(context)
        for asset in self.outlets:
            context["outlet_events"][asset].extra.update(self.event)
        return output


def group(name: str, tooltip: str) -> TaskGroup:
    """Tasks shown together; their names stay as they are on the command line."""
    return TaskGroup(name, prefix_group_id=False, tooltip=tooltip)


def command(
    task_id: str,
    bash_command: str,
    env: Mapping[str, str] | None = None,
    *,
    doc: str,
    kind: str = "restricted",
    **options: Any,
) -> Command:
    """A task that runs one command of the pipeline. What a person typed reaches it by environment,
    never as shell text. kind: whose queue it waits in.
    """
    return Command(
        task_id=task_id,
        bash_command=bash_command,
        env=dict(env or {}),
        append_env=True,
        doc_md=doc,
        **{
            "do_xcom_push": False,
            "retries": RETRIES,
            "retry_delay": timedelta(seconds=10),
            **queue(kind),
            "on_failure_callback": [End()],
            **options,
        },
    )


def queue(kind: str) -> dict[str, str]:
    """The option that names a task's queue: of `restricted`, `train` or `released`."""
    name = getattr(DEPLOYMENT.airflow.queues, kind)
    return {} if name == "default" else {"queue": name}


def stage(
    name: str, env: Mapping[str, str] | None = None, kind: str = "restricted", **options: Any
) -> Command:
    """One stage in the run's workspace, by DVC. A retry is safe for each: reserve charges an id
    once, train resumes, publish finishes.
    """
    doc = f"Stage `{name}`: {STAGES[name].summary}. {STAGES[name].on_retry}"
    if name == "train" and not DEPLOYMENT.is_shared:
        options["max_active_tis_per_dag"] = 1  # two trainings take twice the memory of one host
    return in_run(name, repro_command(name), env, doc=doc, kind=kind, **options)


def in_run(
    name: str,
    bash_command: str,
    env: Mapping[str, str] | None = None,
    *,
    after: str = "",
    **options: Any,
) -> Command:
    """A command in the run's workspace, which for several hosts comes to where the task is. after:
    shell text that follows the command.
    """
    task_id = name.replace("-", "_")
    if not DEPLOYMENT.is_shared:
        return command(task_id, bash_command + after, env, cwd=WORKSPACE, **options)
    line = f'python -m pipeline in-run "$RUN_RELEASE_ID" {name}{after}'
    return command(task_id, line, {"RUN_RELEASE_ID": RELEASE_ID, **(env or {})}, **options)
