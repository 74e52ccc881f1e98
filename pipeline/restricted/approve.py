"""Records who let a release out: a person, by Airflow's approval task or at the terminal, or the
run itself for simulated and public data.

A custodian who has read the restricted report makes a decision that the (epsilon, delta) statement
does not cover (privacy_rules.md 4). Reasons stay in the restricted zone; a refused attempt stays
charged.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline import environment, files
from pipeline.catalog import Home, Workspace
from pipeline.ledger import REFUSAL_REASON, Ledger
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.restricted import account_table, person
from pipeline.runs import chain_heads, travel
from pipeline.schema.values import Schema

logger = logging.getLogger(__name__)


class NotApproved(Refusal):
    """The release was refused, or nobody was there to approve it. What it was charged stays
    charged.
    """


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One answer about one release. `self_approved`: the run answered for itself, no person
    looked.
    """

    release_id: str
    approved: bool
    by: str
    self_approved: bool
    answered_at: str  # UTC, ISO


def may_approve_itself(params: Params, schema: Schema) -> bool:
    """Whether the run needs no person: params.yaml says so, and ledger and declaration agree that
    the data are simulated or public.
    """
    return params.approve.self_approve and person.answers_for_itself(schema)


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Writes `approval.json`. Raises NotApproved after recording a refusal. An answer once given
    holds for later runs.
    """
    release_id = str(params.release.id)
    answers = workspace.restricted.answers
    approval = _last_answer(answers, release_id) or _decide(
        release_id, may_approve_itself(params, schema), workspace, params
    )
    if _last_answer(answers, release_id) != approval:
        files.append_line(answers, json.dumps(asdict(approval)))
        travel.send(Home.find(), workspace, answers)
    if not approval.approved:
        _abandon(release_id, approval.by)
        raise NotApproved(
            f"release {release_id} was refused by {approval.by}; its charge stays in the ledger, a"
            " new release needs a new id"
        )
    files.write_json(workspace.restricted.approval, asdict(approval))
    logger.info(
        "approve: %s",
        "the run approved itself" if approval.self_approved else f"approved by {approval.by}",
    )


def _abandon(release_id: str, by: str) -> None:
    """The refusal in the ledger, once: it counts against the population (privacy_rules.md 4)."""
    home = Home.find()
    ledger = Ledger(home.ledger)
    if ledger.state(release_id) == "reserved":
        ledger.abandon(release_id, REFUSAL_REASON, by)
    chain_heads.note(home, release_id)


def _decide(release_id: str, itself: bool, workspace: Workspace, params: Params) -> Approval:
    """The answer from Airflow, else the run's own where it may, else the terminal's. Raises Refusal
    for an answer in Airflow by who asked for the run.
    """
    if itself and environment.approval_answer() is None:
        return _answer(release_id, True, "the run itself", self_approved=True)
    restricted = workspace.restricted
    table = account_table.question(restricted) if restricted.ingest_report.is_file() else ""
    answer = person.answer(
        f"{table}\nRestricted report: {restricted.report.page}\nPublish release {release_id}?"
    )
    if answer is None:
        raise NotApproved(
            f"release {release_id} waits for a person: run `dvc repro approve` in its workspace at"
            " a terminal, or use Airflow"
        )
    person.refuse_own_answer(restricted, params.approve.airflow_users, answer.by)
    return _answer(release_id, answer.is_approval, answer.by)


def _answer(release_id: str, approved: bool, by: str, self_approved: bool = False) -> Approval:
    return Approval(
        release_id=release_id,
        approved=approved,
        by=by,
        self_approved=self_approved,
        answered_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _last_answer(path: Path, release_id: str) -> Approval | None:
    answer = person.last_answer(path, release_id=release_id)
    return None if answer is None else Approval(**answer)
