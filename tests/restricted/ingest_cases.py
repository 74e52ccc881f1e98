"""Small sources, and ingest run on them in a workspace and a home of their own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import params
from pipeline.catalog import Restricted, Workspace
from pipeline.environment import HOME_VARIABLE
from pipeline.restricted.ingest import stage
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
EXTRACT = date(2022, 12, 31)
HEART = (
    "age",
    "sex",
    "cp",
    "trtbps",
    "chol",
    "fbs",
    "restecg",
    "thalachh",
    "exng",
    "oldpeak",
    "slp",
    "caa",
    "thall",
    "output",
)
HEART_ROW = ("63", "M", "3", "145", "233", "1", "0", "150", "0", "2.3", "0", "0", "1", "1")
CREDIT_COLUMNS = (
    "ID",
    "LIMIT_BAL",
    "SEX",
    "EDUCATION",
    "MARRIAGE",
    "AGE",
    *(f"PAY_{n}" for n in (0, 2, 3, 4, 5, 6)),
    *(f"BILL_AMT{n}" for n in range(1, 7)),
    *(f"PAY_AMT{n}" for n in range(1, 7)),
    "Default",
)


@dataclass(frozen=True)
class Ingested:
    restricted: Restricted

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.restricted.ingest_report.read_text())

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.restricted.tables / f"{name}.parquet")

    @property
    def patients(self) -> pl.DataFrame:
        """Training part and holdout together."""
        return pl.concat(
            [
                pl.read_parquet(path)
                for path in (self.restricted.patients, self.restricted.holdout_patients)
            ]
        ).sort("patient_id")

    @property
    def events(self) -> pl.DataFrame:
        return pl.concat(
            [
                pl.read_parquet(path)
                for path in (self.restricted.events, self.restricted.holdout_events)
            ]
        ).sort("patient_id", "seq")

    def of(self, name: str, patient: object) -> pl.DataFrame:
        frame = {
            "patients": self.patients,
            "events": self.events if self.restricted.events.exists() else None,
        }[name]
        assert frame is not None
        return frame.filter(pl.col("patient_id") == patient)


class Bench:
    """Runs ingest again and again with one home, as refreshes do."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        self.root, self.runs = root, 0
        monkeypatch.setenv(HOME_VARIABLE, str(root / "home"))

    def workspace(self) -> Workspace:
        self.runs += 1
        return Workspace(self.root / f"run{self.runs}")

    def ingest(
        self,
        dataset: str | Schema,
        source: Path,
        *,
        share: float = 0.3,
        max_patient_rows: int = 100_000,
        workspace: Workspace | None = None,
    ) -> Ingested:
        declared = (
            read_schema(DATASETS / f"{dataset}.yaml") if isinstance(dataset, str) else dataset
        )
        given = params.load(DATASETS.parent / "params.yaml")
        given = params.from_mapping(
            {
                **{block: dict(vars(getattr(given, block))) for block in params.BLOCKS},
                "release": {
                    "dataset": declared.dataset,
                    "source": str(source),
                    "rows": 10,
                    "extract_date": EXTRACT,
                },
                "ingest": {
                    "holdout_share": share,
                    "max_cell_bytes": 100_000,
                    "max_patient_rows": max_patient_rows,
                },
            }
        )
        place = workspace or self.workspace()
        stage.run(place, given, declared)
        done = Ingested(place.restricted)
        assert done.report["out_of_balance"] == []
        return done


def write_csv(path: Path, header: tuple[str, ...], *rows: tuple[str, ...]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(",".join(row) for row in (header, *rows)) + "\n", encoding="utf-8")
    return path


def heart_row(**changes: str) -> tuple[str, ...]:
    return tuple({**dict(zip(HEART, HEART_ROW, strict=True)), **changes}.values())


def credit_row(patient: int | str, **changes: str) -> tuple[str, ...]:
    base = dict.fromkeys(CREDIT_COLUMNS, "0") | {
        "ID": str(patient),
        "LIMIT_BAL": "20000",
        "SEX": "2",
        "EDUCATION": "2",
        "MARRIAGE": "1",
        "AGE": "24",
    }
    return tuple((base | changes).values())


PARTICIPANTS = (
    "Participant_Id",
    "Household_Id",
    "Age at enrollment (years) [EUPATH_0000120]",
    "Alpha-thalassemia genotype [EUPATH_0000034]",
    "CD36 genotype [EUPATH_0000737]",
    "Cause of death [EUPATH_0020001]",
    "Death date [EUPATH_0000150]",
    "Death location [EUPATH_0010067]",
    "Enrollment date [EUPATH_0000151]",
    "G6PD genotype [EUPATH_0000033]",
    "HbS genotype [EUPATH_0000035]",
    "Last date observed [EUPATH_0000152]",
    "Reason for withdrawal [EUPATH_0000208]",
    "Sex [PATO_0000047]",
    "Timing of enrollment [EUPATH_0000219]",
)
VISITS = (
    "site",
    "date",
    "id",
    "Household_Id",
    "age",
    "age_at_enrollment",
    "gender",
    "temperature",
    "fever",
    "parasitedensity",
    "gametocytes",
    "LAMP",
    "visittype",
    "hemoglobin",
    "malaria_diagnosis",
    "antimalarial",
)


def participant(
    patient: int, enrolled: str = "2012-01-10", last: str = "2013-01-10", **changes: str
) -> tuple[str, ...]:
    row = (
        str(patient),
        "h_1",
        "5.2",
        "Normal",
        "Wild type",
        "",
        "",
        "",
        enrolled,
        "Normal (male)",
        "Hb aa",
        last,
        "Completed study",
        "Male",
        "During dynamic recruitment",
    )
    return tuple((dict(zip(PARTICIPANTS, row, strict=True)) | changes).values())


def visit(
    patient: int | str, day: str, kind: str = "Scheduled visit", **changes: str
) -> tuple[str, ...]:
    row = (
        "kihihi",
        day,
        str(patient),
        "h_1",
        "5.3",
        "5.2",
        "Male",
        "36.799999",
        "No",
        "0.0",
        "No",
        "Negative",
        kind,
        "12.5",
        "No",
        "No malaria medications given",
    )
    return tuple((dict(zip(VISITS, row, strict=True)) | changes).values())


def write_cohort(
    folder: Path, participants: list[tuple[str, ...]], visits: list[tuple[str, ...]]
) -> Path:
    write_csv(folder / "PRISM_cohort_Participants.csv", PARTICIPANTS, *participants)
    write_csv(folder / "PRISM_visits_cleaned.csv", VISITS, *visits)
    return folder
