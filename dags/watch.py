"""Every hour: what somebody should hear of at night. A broken chain, a budget that runs low, a
backup that is too old, a task that is stuck, a full disk. It reads no patient's row.

A run is red while something is found. Custodians are told of each thing once a day
(`watch.repeat_hours`), where the block `portal` of params.yaml says.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, chain

from dags.notifiers import Findings
from dags.stages import command
from pipeline import night_params
from pipeline.catalog import Home

SCHEDULE = CronTriggerTimetable(
    night_params.load_watch(Home.find().params).schedule,
    timezone="UTC",
    run_immediately=timedelta(0),
)

with DAG("watch", schedule=SCHEDULE, catchup=False, max_active_runs=1, doc_md=__doc__) as dag:
    chain(
        command(
            "watch",
            "python -m pipeline watch",
            doc=(
                "Looks at the ledger, the backup, the disk, the services and the runs, and keeps"
                " the logs small. Refuses with what it found; its log holds the details."
            ),
            on_failure_callback=[Findings()],
        )
    )
