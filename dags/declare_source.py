"""A custodian declares the source of a dataset, under a public label. The event of the asset
`source` starts the DAG `refresh`.

Open the population of confidential data first (`python -m pipeline ledger open`), else the release
is refused.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain

from dags.fields import datasets, extract_date_param
from dags.stages import MACROS, SOURCE, command
from pipeline.runs.sources import LABEL

DECLARATION = {
    "DATASET": "{{ params.dataset }}",
    "SOURCE": "{{ params.path }}",
    "LABEL": "{{ params.label }}",
    "EXTRACT_DATE": "{{ params.extract_date or '' }}",
}

with DAG(
    "declare_source",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    user_defined_macros=MACROS,
    params={
        "dataset": Param(
            type="string",
            enum=datasets(),
            title="Dataset",
            description="a declaration in datasets/",
        ),
        "path": Param(
            type="string",
            pattern="^/",
            maxLength=1000,
            title="Path",
            description="absolute path of the folder or file of the source tables",
        ),
        "label": Param(
            type="string",
            pattern=LABEL.pattern,
            title="Label",
            description=(
                "public name of this state of the source, chosen by a person, never computed from"
                " the files: 1 to 64 letters, digits, blanks and . _ -, beginning with a letter or"
                " digit"
            ),
        ),
        "extract_date": extract_date_param("none"),
    },
) as dag:
    chain(
        command(
            "declare",
            'python -m pipeline sources set "$DATASET" --path "$SOURCE" --label "$LABEL"'
            ' --extract-date "$EXTRACT_DATE"',
            DECLARATION,
            outlets=[SOURCE],
            event={"dataset": "{{ params.dataset }}", "label": "{{ params.label }}"},
            doc=(
                "Notes path, label and date of the source. Its event of the asset `source` carries"
                " dataset and label, nothing of the files."
            ),
        )
    )
