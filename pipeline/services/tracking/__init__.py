"""MLflow, the auditors' view of the releases: one run per release, one below it per stage, the
budget, the released models.

MLflow is restricted (docs/privacy_rules.md 1) and a mirror: the ledger and the workspaces are the
authority. Stages note how they ended in their workspace (`note`), and `sync` brings MLflow up to
date with the notes: to load MLflow takes seconds, so not every stage does it. Nothing outside this
package imports mlflow.
"""

from pipeline.services.tracking.budget_runs import publish_budget
from pipeline.services.tracking.client import (
    BUDGET_EXPERIMENT,
    EXPERIMENT,
    client_of,
    ensure,
    tracked_chain_heads,
)
from pipeline.services.tracking.models import ALIAS, publish_model
from pipeline.services.tracking.release_runs import catch_up, sync
from pipeline.services.tracking.run_facts import gate_result
from pipeline.services.tracking.stage_notes import note, read_notes

__all__ = [
    "ALIAS",
    "BUDGET_EXPERIMENT",
    "EXPERIMENT",
    "catch_up",
    "client_of",
    "ensure",
    "gate_result",
    "note",
    "publish_budget",
    "publish_model",
    "read_notes",
    "sync",
    "tracked_chain_heads",
]
