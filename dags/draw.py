"""Draw a new extract from a published model. It reads no patient's row, so it is free: nothing is
charged, and the card says so.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain

from dags.stages import RELEASE_ID, command, release_id_param, rows_param, stage
from pipeline.catalog import Home

REQUEST = {
    "RELEASE_ID": RELEASE_ID,
    "MODEL_OF": "{{ params.model_of }}",
    "ROWS": "{{ params.rows or '' }}",
    "OWNER": "{{ run_id }}",
}

with DAG(
    "draw",
    schedule=None,
    catchup=False,
    max_active_runs=2,
    doc_md=__doc__,
    params={
        "model_of": Param(
            type="string",
            pattern=r"^[a-z0-9][a-z0-9-]{2,40}$",
            title="Model of",
            description="the published release whose model is drawn from",
        ),
        "rows": rows_param(),
        "release_id": release_id_param(),
    },
) as dag:
    prepare = command(
        "prepare",
        'python -m pipeline prepare-draw --model-of "$MODEL_OF" --release-id "$RELEASE_ID" --rows'
        ' "$ROWS" --owner "$OWNER"',
        REQUEST,
    )
    gate = command("gate", "python -m pipeline gate", cwd=f"{Home.find().runs}/{RELEASE_ID}")
    chain(prepare, stage("sample"), gate, stage("publish"))
