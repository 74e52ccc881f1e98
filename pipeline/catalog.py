"""Every path of the project, in two classes: Restricted (patients' rows may lie there) and Released
(DP outputs only).

A run has one workspace, `runs/<release_id>/`. A stage runs with the workspace as its working
directory and finds everything here. The state that outlives a run (ledger, registries, keys,
MLflow) hangs below the project's home.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline import environment
from pipeline.refusal import Refusal


def project_root() -> Path:
    """Where the code lies: the folder that holds `pipeline/`."""
    return Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Home:
    """What outlives a run. `SYNDASERA_HOME` moves it; without it, the project's own folder."""

    root: Path

    @classmethod
    def find(cls) -> Home:
        return cls(Path(environment.home_folder() or project_root()))

    @property
    def params(self) -> Path:
        """Settings that new runs start from: the home's own `params.yaml`, else the project's."""
        own = self.root / "params.yaml"
        return own if own.is_file() else project_root() / "params.yaml"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def ledger(self) -> str:
        """Where the ledger is: the URL in SYNDASERA_LEDGER, else the one in `state/ledger.url`,
        else the file `state/ledger.db`.
        """
        if url := environment.ledger_url():
            return url
        if not self.ledger_url.is_file():
            return str(self.ledger_file)
        if not (noted := self.ledger_url.read_text(encoding="utf-8").strip()):
            raise Refusal(
                "state/ledger.url is empty: write the URL of the ledger's database there, or"
                " restore it from the backup"
            )
        return noted

    @property
    def ledger_file(self) -> Path:
        """The ledger where no URL is given."""
        return self.state / "ledger.db"

    @property
    def ledger_url(self) -> Path:
        """Written by `python -m pipeline ledger move`. Restricted: it may hold a password."""
        return self.state / "ledger.url"

    @property
    def keys(self) -> Path:
        """Permanent secret keys (the holdout's). Restricted; backed up with the ledger."""
        return self.state / "keys"

    @property
    def sources(self) -> Path:
        """The custodian's declarations: for each dataset, where its source lies and its public
        label.
        """
        return self.state / "sources.yaml"

    @property
    def source_paths(self) -> Path:
        """Which population the rows at a path belong to. Restricted."""
        return self.state / "restricted" / "source_paths.json"

    def cohorts(self, population: str) -> Path:
        """The register of who is in which cohort of a population. Restricted; backed up with the
        ledger.
        """
        return self.state / "restricted" / "cohorts" / f"{population}.db"

    @property
    def airflow(self) -> Path:
        return self.state / "airflow"

    @property
    def budget_report(self) -> Path:
        """The newest report on every population's budget. Restricted."""
        return self.state / "budget"

    @property
    def mlflow_database(self) -> Path:
        return self.root / "mlruns" / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.root / "mlruns" / "artifacts"

    @property
    def restricted_registry(self) -> Path:
        """Bare git repository: dvc.lock of every run, which holds hashes of patients' tables."""
        return self.state / "restricted" / "registry.git"

    @property
    def restricted_remote(self) -> Path:
        return self.state / "restricted" / "dvc-remote"

    @property
    def released_registry(self) -> Path:
        """Bare git repository: one commit and tag per published release. Anybody may `dvc get` from
        it.
        """
        return self.state / "released" / "registry.git"

    @property
    def released_remote(self) -> Path:
        return self.state / "released" / "dvc-remote"

    @property
    def published(self) -> Path:
        """A plain copy of each published release, for people who do not use DVC:
        `<published>/<release_id>/`.
        """
        return self.state / "released" / "extracts"

    def workspace(self, release_id: str) -> Workspace:
        return Workspace(self.runs / release_id)


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
    def validation(self) -> Path:
        """Results and data docs of the suites on the source: `results.json`, `docs/`."""
        return self.root / "validation"

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
    def checkpoints(self) -> Path:
        """Persisted noisy counts and training steps. Not a DVC output: repro deletes those."""
        return self.root / "checkpoints"

    @property
    def tape(self) -> Path:
        """What was executed, compared with what was reserved."""
        return self.root / "tape.json"

    @property
    def report(self) -> Path:
        """`index.html` (self-contained), `figures.json`, `gate.json`."""
        return self.root / "report"

    @property
    def approval(self) -> Path:
        return self.root / "approval.json"


@dataclass(frozen=True)
class Released:
    """DP outputs and row-free facts only."""

    root: Path

    @property
    def model(self) -> Path:
        """The trained model: safetensors and JSON."""
        return self.root / "model"

    @property
    def synthetic(self) -> Path:
        """Synthetic patients and events, `patients.parquet`, `events.parquet`, in the model's own
        form.
        """
        return self.root / "synthetic"

    @property
    def extract(self) -> Path:
        """The extract as researchers get it: `csv/`, `parquet/`, `extract.duckdb`."""
        return self.root / "extract"

    @property
    def release(self) -> Path:
        """Everything of a release put together before it is made visible."""
        return self.root / "release"


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
        return self.root / "dataset.yaml"

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
