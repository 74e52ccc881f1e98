"""One stage of the pipeline is one task. The command is the one that a laptop runs; only the
release id passes through Airflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Param, RetryDecision, RetryPolicy

from pipeline.catalog import Home, project_root
from pipeline.stages import REFUSED, repro_command

RELEASE_ID = (
    "{{ params.release_id or (params.dataset | default('draw')) | replace('_', '-') ~ '-' ~ "
    "dag_run.run_after.strftime('%Y%m%d-%H%M%S') }}"
)
RETRIES = 2


class NotAfterRefusal(RetryPolicy):
    """A stage that refused (exit code 2: bad source, no budget, not approved) would refuse again;
    anything else may be retried.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
    ) -> RetryDecision:
        if f"exit code {REFUSED}." in str(exception):
            return RetryDecision.fail(reason="the stage refused and said why in its log")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> NotAfterRefusal:
        return cls()


def datasets() -> list[str]:
    return sorted(path.stem for path in (project_root() / "datasets").glob("*.yaml"))


def release_id_param() -> Param:
    return Param(
        None,
        type=["null", "string"],
        pattern=r"^[a-z0-9][a-z0-9-]{2,40}$",
        title="Release id",
        description="3 to 41 of a-z, 0-9 and -; empty: the dataset's name and the time",
    )


def rows_param() -> Param:
    return Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=5_000_000,
        title="Rows",
        description="synthetic patients to draw; empty: as in params.yaml",
    )


def command(
    task_id: str, bash_command: str, env: Mapping[str, str] | None = None, **options: Any
) -> BashOperator:
    """A task that runs one command of the pipeline. What a person typed reaches it by environment,
    never as shell text.
    """
    return BashOperator(
        task_id=task_id,
        bash_command=bash_command,
        env=dict(env or {}),
        append_env=True,
        do_xcom_push=False,
        retries=RETRIES,
        retry_delay=timedelta(seconds=10),
        retry_policy=NotAfterRefusal(),
        **options,
    )


def stage(name: str, env: Mapping[str, str] | None = None, **options: Any) -> BashOperator:
    """One stage in the run's workspace, by DVC. A retry is safe for each: reserve charges an id
    once, train resumes, publish finishes.
    """
    return command(
        name, repro_command(name), env, cwd=f"{Home.find().runs}/{RELEASE_ID}", **options
    )
