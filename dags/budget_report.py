"""Every week: how every population's budget was spent, as a page on disk and in MLflow. It reads
the ledger alone, so it is free.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, chain

from dags.stages import command
from pipeline import params
from pipeline.catalog import Home

SETTINGS = params.load(Home.find().params)
SCHEDULE = CronTriggerTimetable(
    SETTINGS.schedule.budget_report, timezone="UTC", run_immediately=timedelta(0)
)

with DAG(
    "budget_report", schedule=SCHEDULE, catchup=False, max_active_runs=1, doc_md=__doc__
) as dag:
    chain(
        command(
            "budget_report",
            "python -m pipeline budget-report --mlflow",
            doc=(
                "Writes `state/budget/` and puts it into MLflow, experiment `budget`. Reads the"
                " ledger only."
            ),
        )
    )
