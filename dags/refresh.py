"""Make one synthetic release of a dataset: a new model, a charge in the ledger, a published
extract.

It runs by the clock (`schedule.refresh` in params.yaml), when a custodian declares a source (DAG
`declare_source`), or by hand with this form. A source whose public label is that of the last
charged release is skipped, and nothing is charged: that is the only run with skipped (pink) tasks,
but for `enough_budget`, which is pink where a budget runs low.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, Param, chain

from dags import approval as asking
from dags.approval import Approval, answer
from dags.fields import (
    asked_by_param,
    datasets,
    epsilon_param,
    extract_date_param,
    release_id_param,
    rows_param,
)
from dags.notifiers import End
from dags.stages import (
    ACCOUNT,
    ASKED_BY,
    DATASET,
    EXTRACT,
    MACROS,
    RELEASE_ID,
    SOURCE,
    command,
    group,
    in_run,
    queue,
    stage,
)
from dags.turn import Turn
from pipeline import params
from pipeline.catalog import Home
from pipeline.runs.sources import LABEL
from pipeline.stages import APPROVALS, AS_DECLARED

SETTINGS = params.load(Home.find().params)
# Without a start date and with no grace, a fresh Airflow waits for the next time instead of making
# the last one up.
CLOCK = CronTriggerTimetable(
    SETTINGS.schedule.refresh, timezone="UTC", run_immediately=timedelta(0)
)
REQUEST = {
    "RELEASE_ID": RELEASE_ID,
    "DATASET": DATASET,
    "SOURCE": "{{ params.source or '' }}",
    "LABEL": "{{ params.label or '' }}",
    "EXTRACT_DATE": "{{ params.extract_date or '' }}",
    "EPSILON": "{{ params.epsilon or '' }}",
    "ROWS": "{{ params.rows or '' }}",
    "COHORTS": "{{ params.cohorts or '' }}",
    "APPROVAL": "{{ params.approval }}",
    "OTHER_DATASETS": "{{ other_datasets(triggering_asset_events) }}",
    "OWNER": "{{ run_id }}",
    "ASKED_BY": ASKED_BY,
    "AGAIN": "{{ 'yes' if params.again else '' }}",
}
with DAG(
    "refresh",
    schedule=AssetOrTimeSchedule(timetable=CLOCK, assets=SOURCE),
    catchup=False,
    max_active_runs=16,  # of different populations: runs of one take turns
    doc_md=__doc__,
    user_defined_macros={**MACROS, **asking.MACROS},
    params={
        "dataset": Param(
            SETTINGS.release.dataset,
            type="string",
            enum=datasets(),
            title="Dataset",
            description=(
                "a declaration in datasets/; a run that a declared source started takes that"
                " source's dataset"
            ),
        ),
        "source": Param(
            None,
            type=["null", "string"],
            pattern="^/",
            maxLength=1000,
            title="Source",
            description=(
                "absolute path of the folder or file of the source tables; empty: what the"
                " custodian declared"
            ),
        ),
        "label": Param(
            None,
            type=["null", "string"],
            pattern=LABEL.pattern,
            title="Label",
            description=(
                "public name of this state of the source, chosen by a person: 1 to 64 letters,"
                " digits, blanks and . _ -, beginning with a letter or digit; empty: the declared"
                " label"
            ),
        ),
        "extract_date": extract_date_param("the declared one"),
        "epsilon": epsilon_param("this release"),
        "rows": rows_param(),
        "cohorts": Param(
            None,
            type=["null", "string"],
            maxLength=1000,
            title="Cohorts",
            description=(
                "whose rows are opened and charged: names of the population's cohorts, with commas"
                " between; empty: everybody's"
            ),
        ),
        "approval": Param(
            AS_DECLARED,
            type="string",
            enum=list(APPROVALS),
            title="Approval",
            description=(
                "who lets this release out. As declared: a person, except for simulated and public"
                " data where params.yaml lets the run approve itself. It can be made stricter here,"
                " never looser"
            ),
        ),
        "again": Param(
            False,
            type="boolean",
            title="Again",
            description=(
                "release a source once more whose public label the last charge was for; as usual,"
                " such a run is skipped"
            ),
        ),
        "asked_by": asked_by_param(),
        "release_id": release_id_param(),
    },
) as dag:
    turn = Turn(
        task_id="turn",
        dataset=DATASET,
        **queue("restricted"),
        on_failure_callback=[End()],
        doc_md=(
            "Waits until no other run of `refresh` goes on for the same population; runs of other"
            " populations go on beside it."
        ),
    )
    check = command(
        "check_source",
        'python -m pipeline check-source --dataset "$DATASET" --source "$SOURCE" --label "$LABEL"'
        ' --cohorts "$COHORTS" --release-id "$RELEASE_ID" --other-datasets "$OTHER_DATASETS"'
        ' --again "$AGAIN"',
        REQUEST,
        doc=(
            "Is there a source, and one that no release was charged for? Only public labels are"
            " compared. Fails where nothing lies at the source; skips the run, uncharged, where its"
            " label is that of the last charged release."
        ),
    )
    prepare = command(
        "prepare",
        'python -m pipeline prepare --dataset "$DATASET" --source "$SOURCE" --label "$LABEL"'
        ' --extract-date "$EXTRACT_DATE" --release-id "$RELEASE_ID" --epsilon "$EPSILON" --rows'
        ' "$ROWS" --cohorts "$COHORTS" --approval "$APPROVAL" --owner "$OWNER"'
        ' --asked-by "$ASKED_BY"',
        REQUEST,
        doc=(
            "Makes the run's workspace, `runs/<release id>/`. Refuses a release id that was used"
            " before."
        ),
    )
    with group("source", "reads patients' rows before the charge; everything here is restricted"):
        ingest = stage("ingest")
        needs_confirmation = in_run(
            "needs-confirmation",
            "python -m pipeline needs-confirmation",
            do_xcom_push=True,
            doc=(
                "Says by its last line who confirms what ingest kept: a person, or the run itself"
                " (simulated and public data only)."
            ),
        )
        confirmation = Approval(
            task_id="confirmation",
            asked_by="needs_confirmation",
            **queue("restricted"),
            subject=f"Charge release {RELEASE_ID} for what ingest kept?",
            response_timeout=timedelta(days=14),
            body=(
                f"What ingest kept of the source:\n\n{ACCOUNT}\n\nReject, and nothing is charged;"
                " the no is recorded and counts as a refusal."
            ),
            doc_md=(
                "Waits up to 14 days for the answer of a person, under *Required Actions*; green at"
                " once for simulated and public data."
            ),
        )
        confirm = stage("confirm", answer("confirmation"))
        chain(ingest, stage("validate"), needs_confirmation, confirmation, confirm)
    with group(
        "model",
        "reads patients' rows under the charge; everything here is restricted except the model",
    ):
        reserve, train = stage("reserve"), stage("train", kind="train")
        enough_budget = in_run(
            "enough-budget",
            "python -m pipeline enough-budget",
            after=" || exit 99",
            doc=(
                "Green: the population has budget left for more releases. Skipped (pink): it runs"
                " low, and the log says what to do. It stops nothing."
            ),
        )
        chain(reserve, [train, enough_budget])
    with group("extract", "synthetic patients, and the restricted report on them"):
        sample = stage("sample")
        evaluate = stage("evaluate")
        chain(sample, evaluate)
    with group("release", "who lets it out, and the release itself"):
        needs_approval = in_run(
            "needs-approval",
            "python -m pipeline needs-approval",
            do_xcom_push=True,
            doc=(
                "Says by its last line who must approve: a person, or the run itself (simulated and"
                " public data only)."
            ),
        )
        approval = Approval(
            task_id="approval",
            asked_by="needs_approval",
            **queue("restricted"),
            subject=f"Publish release {RELEASE_ID}?",
            response_timeout=timedelta(days=14),
            body=(
                "The restricted report lies in the run's workspace, restricted/report/index.html. A"
                f" refusal is recorded; the charge stays.\n\nWhat ingest kept:\n\n{ACCOUNT}"
            ),
            doc_md=(
                "Waits up to 14 days for the answer of a person, under *Required Actions*; green at"
                " once where the run approves itself."
            ),
        )
        publish = stage(
            "publish", outlets=[EXTRACT], event={"dataset": DATASET, "release_id": RELEASE_ID}
        )
        chain(needs_approval, approval, stage("approve", answer("approval")), publish)
    chain(turn, check, prepare, ingest)
    chain(confirm, reserve)
    chain(train, sample)
    chain(evaluate, needs_approval)
