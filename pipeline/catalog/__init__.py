"""Every path of the project, in two classes: Restricted (patients' rows may lie there) and Released
(DP outputs only).

`home`: what outlives a run. `deployment`: where that lies for several hosts. `workspace`: of a run.
`zones`: the two zones of a workspace. `contents`: what lies in a folder, whoever holds it.
"""

from pipeline.catalog.contents import (
    MANIFEST,
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
from pipeline.catalog.home import Home, project_root
from pipeline.catalog.workspace import Workspace
from pipeline.catalog.zones import Released, Restricted

__all__ = [
    "MANIFEST",
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
