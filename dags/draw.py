"""Draw a new extract from a published model. It reads no patient's row, so it is free: nothing is
charged, and the card says so.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain

from dags.stages import (
    EXTRACT,
    MACROS,
    RELEASE_ID,
    WORKSPACE,
    command,
    release_id_param,
    rows_param,
    stage,
)

REQUEST = {
    "RELEASE_ID": RELEASE_ID,
    "MODEL_OF": "{{ params.model_of }}",
    "ROWS": "{{ params.rows or '' }}",
    "PLAN": "{{ params.plan or '' }}",
    "OWNER": "{{ run_id }}",
    "ASKED_BY": "{{ dag_run.triggering_user_name or 'the schedule' }}",
}

with DAG(
    "draw",
    schedule=None,
    catchup=False,
    max_active_runs=2,
    doc_md=__doc__,
    user_defined_macros=MACROS,
    params={
        "model_of": Param(
            type="string",
            pattern=r"^[a-z0-9][a-z0-9-]{2,40}$",
            title="Model of",
            description=(
                "id of the published release whose model is drawn from: 3 to 41 of a-z, 0-9 and -"
            ),
        ),
        "rows": rows_param(),
        "plan": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="Plan",
            description=(
                "whom to draw, in YAML: `where: {AGE: 30..50}`, `shares: [{columns: [GENDER], even:"
                " true}]`, `begins: [SURGERY]` (docs/plans.md); empty: as in params.yaml"
            ),
        ),
        "release_id": release_id_param(),
    },
) as dag:
    prepare = command(
        "prepare",
        'python -m pipeline prepare-draw --model-of "$MODEL_OF" --release-id "$RELEASE_ID" --rows'
        ' "$ROWS" --plan "$PLAN" --owner "$OWNER" --asked-by "$ASKED_BY"',
        REQUEST,
        doc=(
            "Makes the workspace of the draw, `runs/<release id>/`, with the published model in it."
        ),
    )
    gate = command(
        "gate",
        "python -m pipeline gate",
        cwd=WORKSPACE,
        doc="Stops a draw whose synthetic rows break a clinical rule.",
    )
    publish = stage(
        "publish",
        outlets=[EXTRACT],
        event={"model_of": "{{ params.model_of }}", "release_id": RELEASE_ID},
    )
    chain(prepare, stage("sample"), gate, publish)
