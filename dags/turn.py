"""Runs of one population take turns; those of others go on beside them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator

from pipeline.catalog import Home

LONGEST = timedelta(days=90)  # several runs before this one, each with 28 days for two answers


class Turn(BaseSensorOperator):
    """Waits, without a worker, until the run whose turn it is in the population ended."""

    template_fields = ("dataset",)

    def __init__(self, *, dataset: str, **options: Any) -> None:
        super().__init__(
            mode="reschedule",
            poke_interval=60,
            timeout=LONGEST.total_seconds(),
            retries=2,
            retry_delay=timedelta(seconds=10),
            **options,
        )
        self.dataset = dataset

    def poke(self, context: Any) -> bool:
        from pipeline.runs import turns
        from pipeline.runs.declarations import declaration_path
        from pipeline.schema.reader import read_schema

        task, dag_id = context["ti"], context["dag"].dag_id

        def is_over(run: str) -> bool:
            states = ["queued", "running"]
            return not task.get_dr_count(dag_id=dag_id, run_ids=[run], states=states)

        population = read_schema(declaration_path(self.dataset)).population.name
        is_ours = turns.take(Home.find(), population, str(context["run_id"]), is_over)
        if not is_ours:
            self.log.info("Another run of population %s goes on; this one waits.", population)
        return is_ours
