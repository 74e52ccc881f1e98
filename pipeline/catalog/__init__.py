"""Every path of the project, in two classes: Restricted (patients' rows may lie there) and Released
(DP outputs only).

`home`: what outlives a run, and a run's workspace. `zones`: the two zones of a workspace.
`contents`: what lies in a folder, whoever holds it.
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
from pipeline.catalog.home import (
    STORE,
    Home,
    Workspace,
    project_root,
)
from pipeline.catalog.zones import Released, Restricted

__all__ = [
    "CARD",
    "MANIFEST",
    "STORE",
    "TRANSPARENCY",
    "TRUTH",
    "BudgetReport",
    "Checkpoints",
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
