"""The report on every population's budget, and the answer to whether one runs low."""

from __future__ import annotations

import argparse
import logging
from datetime import UTC, datetime
from pathlib import Path

from pipeline import files, params
from pipeline.catalog import BudgetReport, Home, Workspace
from pipeline.cli.console import say
from pipeline.services import tracking
from pipeline.stages import UNCHANGED

logger = logging.getLogger(__name__)


def write_report(options: argparse.Namespace) -> None:
    """Raises Refusal where the chain is broken or lacks a chain head that was noted elsewhere: no
    report is made of such a ledger.
    """
    from pipeline.evaluation import budget_page
    from pipeline.ledger import Ledger, standings
    from pipeline.restricted.reserve import noted_chain_heads

    home = Home.find()
    ledger = Ledger(home.ledger)
    ledger.verify(noted_chain_heads(home))
    if not ledger.populations():
        say("There is no ledger yet, or no population is open in it: nothing to report.")
        return
    spending, chain_head, now = standings(ledger), ledger.chain_head(), datetime.now(UTC)
    report = BudgetReport(options.out) if options.out else home.budget_report
    budget_page.write(report.root, spending, chain_head, now, params.load(home.params).privacy)
    say(f"The budget of {len(spending)} population(s) is in {report.page}  (restricted)")
    if options.mlflow:
        run = tracking.publish_budget(
            home, report.root, chain_head, now.date().isoformat(), budget_page.series(spending)
        )
        say(f"MLflow run {run}")


def is_enough(options: argparse.Namespace) -> int:
    """Says once more, where the DAG shows it, what reserve saw after its charge: the task is green,
    and skipped (pink) if the budget runs low.
    """
    standing = files.read_json(Workspace(Path.cwd()).restricted.budget, {})
    if warning := standing.get("warning"):
        logger.warning("LOW BUDGET: %s", warning)
        return UNCHANGED
    logger.info("enough-budget: yes")
    return 0
