"""Draw a new extract from a published model. It reads no patient's row, so it is free: nothing is
charged, and the card says so.
"""

from __future__ import annotations

from airflow.sdk import DAG, chain

from dags.fields import asked_by_param, model_of_param, plan_param, release_id_param, rows_param
from dags.stages import ASKED_BY, EXTRACT, MACROS, RELEASE_ID, command, in_run, stage

REQUEST = {
    "RELEASE_ID": RELEASE_ID,
    "MODEL_OF": "{{ params.model_of }}",
    "ROWS": "{{ params.rows or '' }}",
    "PLAN": "{{ params.plan or '' }}",
    "OWNER": "{{ run_id }}",
    "ASKED_BY": ASKED_BY,
}

with DAG(
    "draw",
    schedule=None,
    catchup=False,
    max_active_runs=2,
    doc_md=__doc__,
    user_defined_macros=MACROS,
    params={
        "model_of": model_of_param(type="string"),
        "rows": rows_param(),
        "plan": plan_param("as in params.yaml"),
        "asked_by": asked_by_param(),
        "release_id": release_id_param(),
    },
) as dag:
    prepare = command(
        "prepare",
        'python -m pipeline prepare-draw --model-of "$MODEL_OF" --release-id "$RELEASE_ID" --rows'
        ' "$ROWS" --plan "$PLAN" --owner "$OWNER" --asked-by "$ASKED_BY"',
        REQUEST,
        kind="released",
        doc=(
            "Makes the workspace of the draw, `runs/<release id>/`, with the published model in it."
        ),
    )
    gate = in_run(
        "gate",
        "python -m pipeline gate",
        kind="released",
        doc="Stops a draw whose synthetic rows break a clinical rule.",
    )
    publish = stage(
        "publish",
        kind="released",
        outlets=[EXTRACT],
        event={"model_of": "{{ params.model_of }}", "release_id": RELEASE_ID},
    )
    chain(prepare, stage("sample", kind="released"), gate, publish)
