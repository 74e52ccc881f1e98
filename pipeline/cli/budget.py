"""The report on every population's budget, and the answer to whether one runs low."""

from __future__ import annotations

import argparse
import logging
from datetime import UTC, datetime
from pathlib import Path

from pipeline import files, params
from pipeline.catalog import Home, Workspace
from pipeline.cli.console import say
from pipeline.runs.workspace import params_path
from pipeline.services import tracking
from pipeline.stages import UNCHANGED

log = logging.getLogger(__name__)


def tell(options: argparse.Namespace) -> None:
    """Raises ValueError where the chain is broken or lacks a head that was noted elsewhere: no
    report is made of such a ledger.
    """
    from pipeline.evaluation import budget_page
    from pipeline.ledger import Ledger, standing
    from pipeline.restricted.reserve import noted_heads

    home = Home.find()
    ledger = Ledger(home.ledger)
    ledger.verify(noted_heads(home))
    if not ledger.populations():
        say("There is no ledger yet, or no population is open in it: nothing to report.")
        return
    found, head, now = standing.standings(ledger), ledger.head(), datetime.now(UTC)
    folder: Path = options.out or home.budget_report
    budget_page.write(folder, found, head, now, params.load(params_path(home)).privacy)
    say(f"The budget of {len(found)} population(s) is in {folder / budget_page.PAGE}  (restricted)")
    if options.mlflow:
        say(
            "MLflow run"
            f" {tracking.publish_budget(home, folder, head, now.date().isoformat(), budget_page.series(found))}"
        )


def is_low(options: argparse.Namespace) -> int:
    """What reserve found after its charge, said once more where the DAG shows it: the task ends
    well where it is low, and is skipped else.
    """
    standing = files.read_json(Workspace(Path.cwd()).restricted.budget, {})
    if said := standing.get("warning"):
        log.warning("LOW BUDGET: %s", said)
        return 0
    log.info("budget-is-low: no")
    return UNCHANGED
