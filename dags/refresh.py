"""Make one synthetic release of a dataset: a new model, a charge in the ledger, a published
extract.

A source whose public label is that of the last charged release is skipped, uncharged. Scheduled, or
by hand with this form.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, CronTriggerTimetable, Param, chain

from dags.stages import RELEASE_ID, command, datasets, release_id_param, rows_param, stage
from pipeline import params
from pipeline.catalog import Home
from pipeline.runs.workspace import params_path

SETTINGS = params.load(params_path(Home.find()))
# Without a start date and with no grace, a fresh Airflow waits for the next time instead of making
# the last one up.
SCHEDULE = CronTriggerTimetable(
    SETTINGS.schedule.refresh, timezone="UTC", run_immediately=timedelta(0)
)
REQUEST = {
    "RELEASE_ID": RELEASE_ID,
    "DATASET": "{{ params.dataset }}",
    "SOURCE": "{{ params.source or '' }}",
    "EPSILON": "{{ params.epsilon or '' }}",
    "ROWS": "{{ params.rows or '' }}",
    "COHORTS": "{{ params.cohorts or '' }}",
    "OWNER": "{{ run_id }}",
}
ANSWER = {  # empty where nobody was asked
    "SYNDASERA_ANSWER": (
        "{{ ((ti.xcom_pull(task_ids='approval') or {}).get('chosen_options') or [''])[0] }}"
    ),
    "SYNDASERA_ANSWERED_BY": (
        "{{ ((ti.xcom_pull(task_ids='approval') or {}).get('responded_by_user') or {}).get('name',"
        " '') }}"
    ),
}

with DAG(
    "refresh",
    schedule=SCHEDULE,
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    params={
        "dataset": Param(SETTINGS.release.dataset, type="string", enum=datasets(), title="Dataset"),
        "source": Param(
            None,
            type=["null", "string"],
            maxLength=1000,
            title="Source",
            description="folder or file of the source tables; empty: what the custodian declared",
        ),
        "epsilon": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            maximum=10,
            title="Epsilon",
            description="privacy loss of this release; empty: as in params.yaml",
        ),
        "rows": rows_param(),
        "cohorts": Param(
            None,
            type=["null", "string"],
            maxLength=1000,
            title="Cohorts",
            description=(
                "whose rows are opened and charged, with commas between; empty: everybody's"
            ),
        ),
        "release_id": release_id_param(),
    },
) as dag:
    check = command(
        "check_source",
        'python -m pipeline check-source --dataset "$DATASET" --source "$SOURCE" --cohorts'
        ' "$COHORTS" --release-id "$RELEASE_ID"',
        REQUEST,
    )
    prepare = command(
        "prepare",
        'python -m pipeline prepare --dataset "$DATASET" --source "$SOURCE" --release-id'
        ' "$RELEASE_ID" --epsilon "$EPSILON" --rows "$ROWS" --cohorts "$COHORTS" --owner "$OWNER"',
        REQUEST,
    )
    evaluate = stage("evaluate")
    needs_approval = command(
        "needs_approval",
        "python -m pipeline needs-approval",
        cwd=f"{Home.find().runs}/{RELEASE_ID}",
    )
    approval = ApprovalOperator(
        task_id="approval",
        subject=f"Publish release {RELEASE_ID}?",
        response_timeout=timedelta(days=14),
        body=(
            "The restricted report lies in the run's workspace, restricted/report/index.html. A"
            " refusal is recorded; the charge stays."
        ),
    )
    # A rejection skips what stands right behind the approval task; the stage approve must run all
    # the same, to record it.
    answered = EmptyOperator(task_id="answered")
    approve = stage("approve", ANSWER, trigger_rule="none_failed_min_one_success")
    reserve = stage("reserve")
    # Green: the budget runs low, its log says what to do. Skipped: all is well. It stops nothing.
    budget_is_low = command(
        "budget_is_low",
        "python -m pipeline budget-is-low || exit 99",
        cwd=f"{Home.find().runs}/{RELEASE_ID}",
    )

    chain(
        check,
        prepare,
        stage("ingest"),
        stage("validate"),
        reserve,
        stage("train"),
        stage("sample"),
        evaluate,
        approve,
        stage("publish"),
    )
    chain(evaluate, needs_approval, approval, answered, approve)
    chain(reserve, budget_is_low)
