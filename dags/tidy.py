"""Every week: what `retention` in params.yaml keeps for a time only is removed, and the log lists
what remains and why. Nothing that an open run, the ledger or a version store needs is touched.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, chain

from dags.stages import command
from pipeline import params
from pipeline.catalog import Home

SETTINGS = params.load(Home.find().params)
SCHEDULE = CronTriggerTimetable(
    SETTINGS.schedule.tidy, timezone="UTC", run_immediately=timedelta(0)
)

with DAG("tidy", schedule=SCHEDULE, catchup=False, max_active_runs=1, doc_md=__doc__) as dag:
    chain(
        command(
            "tidy",
            "python -m pipeline tidy",
            doc=(
                "Removes rows, checkpoints, caches, workspaces and logs whose days are over. A"
                " retry goes on where it stopped."
            ),
        )
    )
