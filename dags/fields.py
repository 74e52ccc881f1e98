"""The fields of the forms in Airflow."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from pipeline.catalog import project_root

RELEASE_ID_PATTERN = r"^[a-z0-9][a-z0-9-]{2,40}$"


def datasets() -> list[str]:
    return sorted(path.stem for path in (project_root() / "datasets").glob("*.yaml"))


def release_id_param() -> Param:
    return Param(
        None,
        type=["null", "string"],
        pattern=RELEASE_ID_PATTERN,
        title="Release id",
        description=(
            "3 to 41 of a-z, 0-9 and -, beginning with a letter or digit; empty: the dataset's name"
            " and the time"
        ),
    )


def model_of_param(**options: Any) -> Param:
    return Param(
        pattern=RELEASE_ID_PATTERN,
        title="Model of",
        description=(
            "id of the published release whose model is drawn from: 3 to 41 of a-z, 0-9 and -"
        ),
        **options,
    )


def plan_param(otherwise: str) -> Param:
    return Param(
        None,
        type=["null", "string"],
        format="multiline",
        title="Plan",
        description=(
            "whom to draw, in YAML: `where: {AGE: 30..50}`, `shares: [{columns: [GENDER], even:"
            f" true}}]`, `begins: [SURGERY]` (docs/plans.md); empty: {otherwise}"
        ),
    )


def epsilon_param(of: str) -> Param:
    return Param(
        None,
        type=["null", "number"],
        exclusiveMinimum=0,
        maximum=10,
        title="Epsilon",
        description=f"privacy loss of {of}: more than 0, at most 10; empty: as in params.yaml",
    )


def asked_by_param() -> Param:
    return Param(
        None,
        type=["null", "string"],
        maxLength=254,
        title="Asked by",
        description=(
            "e-mail address of who asked in the portal, at most 254 characters; read only where the"
            " portal started the run"
        ),
    )


def rows_param() -> Param:
    return Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=5_000_000,
        title="Rows",
        description="synthetic patients to draw, 1 to 5,000,000; empty: as in params.yaml",
    )


def extract_date_param(otherwise: str) -> Param:
    return Param(
        None,
        type=["null", "string"],
        format="date",
        title="Extract date",
        description=(
            "public last day of observation, YYYY-MM-DD; datasets of pathways need it; empty:"
            f" {otherwise}"
        ),
    )
