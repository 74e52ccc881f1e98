"""The workspace of a run, `runs/<release_id>/`, in which its stages run, and its two zones:
Restricted (patients' rows may lie there) and Released (DP outputs only).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.catalog.contents import (
    DATASET,
    Checkpoints,
    Extract,
    Gate,
    Patients,
    Release,
    Report,
    Validation,
)


@dataclass(frozen=True)
class Restricted:
    """Patients' rows and everything computed from them without a charge."""

    root: Path

    @property
    def tables(self) -> Path:
        """Source tables after casts and repairs: `<table>.parquet`. Made by ingest."""
        return self.root / "data" / "tables"

    @property
    def patients(self) -> Path:
        """One row per patient of the training part. Made by ingest."""
        return self.root / "data" / "patients.parquet"

    @property
    def events(self) -> Path:
        """The event log of the training part; absent for a dataset that is a table."""
        return self.root / "data" / "events.parquet"

    @property
    def carried(self) -> Path:
        """Row attributes that the model does not see, for the restricted round trip:
        `<table>.parquet`.
        """
        return self.root / "data" / "carried"

    @property
    def augmented(self) -> Path:
        """Real patients with synthetic ones below them (`python -m pipeline augment`)."""
        return self.root / "augmented"

    @property
    def holdout_patients(self) -> Path:
        return self.root / "data" / "holdout_patients.parquet"

    @property
    def holdout_events(self) -> Path:
        return self.root / "data" / "holdout_events.parquet"

    @property
    def ingest_report(self) -> Path:
        """Counts of repairs and drops, for custodians."""
        return self.root / "data" / "ingest.json"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def validation(self) -> Validation:
        return Validation(self.root / "validation")

    @property
    def confirmation(self) -> Path:
        """Who confirmed what ingest kept."""
        return self.root / "confirmation.json"

    @property
    def confirmations(self) -> Path:
        """Every answer to what ingest kept, a JSON line each."""
        return self.root / "confirmations.jsonl"

    @property
    def reservation(self) -> Path:
        """The joint mechanism with all noise fixed, as reserved in the ledger."""
        return self.root / "reservation.json"

    @property
    def budget(self) -> Path:
        """Where the population stands after the charge, and the warning where little is left. No
        DVC output: it is of the moment.
        """
        return self.root / "budget.json"

    @property
    def checkpoints(self) -> Checkpoints:
        """Not a DVC output: repro deletes those."""
        return Checkpoints(self.root / "checkpoints")

    @property
    def tape(self) -> Path:
        """What was executed, compared with what was reserved."""
        return self.root / "tape.json"

    @property
    def report(self) -> Report:
        return Report(self.root / "report")

    @property
    def gate(self) -> Gate:
        """The gate's results where there is no report: in a run that only draws, and in one that
        the gate stopped.
        """
        return Gate(self.root / "gate")

    @property
    def answers(self) -> Path:
        """Every answer to whether the release may go out, a JSON line each."""
        return self.root / "answers.jsonl"

    @property
    def reasons(self) -> Path:
        """Why people said yes or no in the portal, a JSON line each."""
        return self.root / "reasons.jsonl"

    @property
    def approval(self) -> Path:
        return self.root / "approval.json"

    @property
    def run(self) -> Path:
        """Who asked for the run."""
        return self.root / "run.json"

    @property
    def stages(self) -> Path:
        """When each stage ran and how it ended, a JSON line each, for MLflow."""
        return self.root / "stages.jsonl"

    @property
    def stage_lock(self) -> Path:
        """Held while a stage runs: one at a time in a workspace."""
        return self.root / "stage.lock"

    @property
    def refusal(self) -> Path:
        """The reason for which a stage refused."""
        return self.root / "refused"

    @property
    def errors(self) -> Path:
        """Full reports of unexpected errors, which may hold a patient's value."""
        return self.root / "errors"

    @property
    def complete(self) -> Path:
        """There once the last stage of the run is recorded."""
        return self.root / "complete"


@dataclass(frozen=True)
class Released:
    """DP outputs and row-free facts only."""

    root: Path

    @property
    def model(self) -> Path:
        """The trained model: safetensors and JSON."""
        return self.root / "model"

    @property
    def synthetic(self) -> Patients:
        """Synthetic patients."""
        return Patients(self.root / "synthetic")

    @property
    def extract(self) -> Extract:
        return Extract(self.root / "extract")

    @property
    def release(self) -> Release:
        """Everything of a release put together before it is made visible."""
        return Release(self.root / "release")


@dataclass(frozen=True)
class Workspace:
    """One run: `params.yaml`, `dataset.yaml`, `dvc.yaml` and the two zones."""

    root: Path

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def dataset(self) -> Path:
        """The declaration, `extends` resolved."""
        return self.root / DATASET

    @property
    def dvc_yaml(self) -> Path:
        return self.root / "dvc.yaml"

    @property
    def tracking(self) -> Path:
        """Ids of the MLflow runs of this release, so that a retry finds them."""
        return self.root / "restricted" / "mlflow.json"

    @property
    def restricted(self) -> Restricted:
        return Restricted(self.root / "restricted")

    @property
    def released(self) -> Released:
        return Released(self.root / "released")
