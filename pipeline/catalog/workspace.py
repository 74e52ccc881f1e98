"""The workspace of a run: `runs/<release_id>/`. A stage runs with the workspace as its working
directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.catalog.contents import DATASET
from pipeline.catalog.zones import Released, Restricted


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
