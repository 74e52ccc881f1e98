"""Every path of the project, in two classes: Restricted (patients' rows may lie there) and Released
(DP outputs only).

`home`: what outlives a run. `deployment`: where that lies for several hosts. `zones`:
a run's workspace with its two zones. `contents`: what lies in a folder, whoever holds it.
"""

from pipeline.catalog.contents import (
    CARD,
    MANIFEST,
    TRANSPARENCY,
    TRUTH,
    BudgetReport,
    Checkpoints,
    Estimates,
    Extract,
    Folder,
    Gate,
    Patients,
    Release,
    Report,
    UploadFolder,
    Validation,
)
from pipeline.catalog.deployment import Deployment
from pipeline.catalog.home import STORE, Home, project_root
from pipeline.catalog.zones import Released, Restricted, Workspace

__all__ = [
    "CARD",
    "MANIFEST",
    "STORE",
    "TRANSPARENCY",
    "TRUTH",
    "BudgetReport",
    "Checkpoints",
    "Deployment",
    "Estimates",
    "Extract",
    "Folder",
    "Gate",
    "Home",
    "Patients",
    "Release",
    "Released",
    "Report",
    "Restricted",
    "UploadFolder",
    "Validation",
    "Workspace",
    "project_root",
]
