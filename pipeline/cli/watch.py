"""The watch: what somebody should hear of at night. The DAG `watch` runs it every hour."""

from __future__ import annotations

import argparse
import logging
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pipeline import night_params
from pipeline.catalog import Home
from pipeline.cli.doctor import ledger, machine, runs, services, stores
from pipeline.cli.doctor.questions import Question, answer
from pipeline.refusal import Refusal
from pipeline.services import airflow_server, findings, processes
from pipeline.services import logs as log_files
from pipeline.services.airflow_api import AirflowApi
from pipeline.services.findings import Finding

logger = logging.getLogger(__name__)

WATCHED = (
    Question("chain broken", ledger.chain),
    Question("ledger missing", ledger.presence),
    Question("publishing cut off", ledger.releases),
    Question("version store damaged", stores.restricted),
    Question("version store damaged", stores.released),
    Question("backup too old", runs.backup),
    Question("disk nearly full", machine.disk),
    Question("a service ended by itself", services.running),
)


def run(options: argparse.Namespace) -> None:
    """Keeps the logs small, and looks. Raises Refusal, with the kinds and ids, where something was
    found; the details are in the log. With `--tell` custodians are told, each thing once a day.
    """
    home = Home.find()
    log_files.keep_small(home, night_params.load_logs(home.params))
    found_now = list(dict.fromkeys((*_of_home(home), *_of_airflow(home))))
    findings.note(home, found_now)
    if options.tell:
        findings.tell(home)
    if found_now:
        raise Refusal("; ".join(str(one) for one in found_now))
    logger.info("watch: nothing was found")


def _of_home(home: Home) -> Iterator[Finding]:
    for question in WATCHED:
        for fault in answer(home, question).faults:
            logger.warning("watch: %s: %s", question.title, fault.text)
            yield Finding(kind=question.title)
    try:
        for population, text in ledger.low_budgets(home):
            logger.warning("watch: budget low: %s", text)
            yield Finding(kind="budget low", subject=population)
    except Refusal as error:  # of a broken chain, which was found above
        logger.warning("watch: no budget can be read: %s", error)


def _of_airflow(home: Home) -> Iterator[Finding]:
    """Parts of Airflow that are not well, and runs with a task that goes on for too long. Nothing
    where Airflow was not started here.
    """
    if not any(name.startswith("airflow") for name in processes.remembered_names(home)):
        return
    api = airflow_server.portal_account(home)
    try:
        for part, state in api.health().items() or [("the API server", "away")]:
            if state != "healthy":
                yield Finding(kind="Airflow is not well", subject=part)
        yield from _stuck(api, timedelta(hours=night_params.load_watch(home.params).stuck_hours))
    except (OSError, urllib.error.URLError, Refusal) as error:
        logger.warning("watch: Airflow does not answer (%s)", type(error).__name__)
        yield Finding(kind="Airflow is not well", subject="the API server")


def _stuck(api: AirflowApi, longest: timedelta) -> Iterator[Finding]:
    """Runs, by their id alone: how long which stage takes depends on rows."""
    for dag, run_id in api.running_since(datetime.now(UTC) - longest):
        yield Finding(kind="stuck", subject=f"{dag}, run {run_id}")
