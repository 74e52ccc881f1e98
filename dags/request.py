"""Meet a request of the portal: a new training and, where it has a plan, a draw by it; or a draw
from a published model alone. The custodian's portal starts it once a custodian has approved, under
the request's own id.

A form filled in by hand starts the same, and whoever sends it counts as who asked.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, TriggerRule, chain

from dags.chained import Chained, draw_of, refresh_of
from dags.fields import (
    asked_by_param,
    datasets,
    epsilon_param,
    model_of_param,
    plan_param,
    release_id_param,
    rows_param,
)
from dags.stages import ASKED_BY, MACROS, command

REQUEST = {
    "KIND": "{{ params.kind }}",
    "DATASET": "{{ params.dataset or '' }}",
    "MODEL_OF": "{{ params.model_of or '' }}",
    "EPSILON": "{{ params.epsilon or '' }}",
    "PLAN": "{{ params.plan or '' }}",
    "ASKED_BY": ASKED_BY,
    "APPROVED_BY": "{{ params.approved_by }}",
}

with DAG(
    "request",
    schedule=None,
    catchup=False,
    max_active_runs=8,
    doc_md=__doc__,
    user_defined_macros=MACROS,
    params={
        "kind": Param(
            "draw",
            type="string",
            enum=["draw", "training"],
            title="Kind",
            description="draw: from a published model, free; training: a new model, charged",
        ),
        "dataset": Param(
            None,
            type=["null", "string"],
            enum=[None, *datasets()],
            title="Dataset",
            description="of a training: a declaration in datasets/",
        ),
        "model_of": model_of_param(default=None, type=["null", "string"]),
        "rows": rows_param(),
        "plan": plan_param("none"),
        "epsilon": epsilon_param("a training"),
        "asked_by": asked_by_param(),
        "approved_by": Param(
            type="string",
            minLength=3,
            maxLength=254,
            title="Approved by",
            description="e-mail address of the custodian who approved the request",
        ),
        "release_id": release_id_param(),
    },
) as dag:
    check = command(
        "check",
        'python -m pipeline check-request --kind "$KIND" --dataset "$DATASET" --model-of'
        ' "$MODEL_OF" --epsilon "$EPSILON" --plan "$PLAN" --asked-by "$ASKED_BY" --approved-by'
        ' "$APPROVED_BY"',
        REQUEST,
        doc="Refuses what cannot be met, before anything is started: a plan, or a budget.",
    )
    train = Chained(
        task_id="train",
        trigger_dag_id="refresh",
        form=refresh_of,
        doc_md="Starts the DAG `refresh` for a training, and waits for its end.",
    )
    draw = Chained(
        task_id="draw",
        trigger_dag_id="draw",
        form=draw_of,
        trigger_rule=TriggerRule.NONE_FAILED,  # a draw alone skips the training
        doc_md="Starts the DAG `draw`, for a draw and for a training with a plan.",
    )
    chain(check, train, draw)
