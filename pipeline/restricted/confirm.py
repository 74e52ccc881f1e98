"""Stage confirm: whether what ingest kept is worth a charge.

Simulated and public data answer for themselves: too few patients or rows left, and the run stops
before the charge. For a confidential population a person answers, always, so that the wait tells
nothing about the rows: a human decision, which the (epsilon, delta) statement does not cover; a no
is an entry of the ledger and counts in the cap of refusals (privacy_rules.md 4).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from pipeline import environment, files
from pipeline.catalog import Home, Restricted, Workspace
from pipeline.ledger import Ledger
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.restricted import account_table, person
from pipeline.restricted.confirmation import Confirmation, account_hash
from pipeline.restricted.person import answers_for_itself
from pipeline.runs import chain_heads, travel
from pipeline.schema.values import Schema

logger = logging.getLogger(__name__)


class NotConfirmed(Refusal):
    """Too little is left of the source, a person said no, or nobody was there to say yes. Nothing
    was charged.
    """


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Writes `restricted/confirmation.json`. Raises NotConfirmed, and then nothing is charged. A
    person's answer holds for this account of the rows; another account is asked about again.
    """
    release_id, restricted = str(params.release.id), workspace.restricted
    account = account_table.read(restricted)
    if answers_for_itself(schema):
        if problems := account_table.shortfalls(account, params.ingest.min_kept_share):
            table = "\n".join(account_table.lines(account))
            raise NotConfirmed(
                f"{'; '.join(problems)}; nothing was charged. {account_table.HOW_TO_DECLARE}."
                f" Where the source is as it should be, lower ingest.min_kept_share in params.yaml."
                f"\n{table}"
            )
        confirmation = _confirmation(release_id, restricted, True, "the run itself")
    else:
        confirmation = _earlier(restricted, release_id) or _ask(
            release_id, restricted, params.approve.airflow_users
        )
        if restricted.confirmations.is_file():
            travel.send(Home.find(), workspace, restricted.confirmations)
        if not confirmation.confirmed:
            home = Home.find()
            Ledger(home.ledger).decline(release_id, schema.population.name, confirmation.by)
            chain_heads.note(home, release_id)
            raise NotConfirmed(
                f"release {release_id} was declined by {confirmation.by} before the charge:"
                " nothing was charged, and the no counts among the refusals of the population. A"
                " new attempt needs a new release id"
            )
    files.write_json(restricted.confirmation, asdict(confirmation))
    logger.info("confirm: what ingest kept is confirmed by %s", confirmation.by)


def _ask(release_id: str, restricted: Restricted, users: Mapping[str, str]) -> Confirmation:
    answer = person.answer(
        f"{account_table.question(restricted)}\n\nIs this the source as it should be, and may"
        f" release {release_id} be charged?"
    )
    if answer is None:
        raise NotConfirmed(
            f"release {release_id} waits for a person to confirm what ingest kept: run `dvc repro"
            " confirm` in its workspace at a terminal, or use Airflow"
        )
    person.refuse_own_answer(restricted, users, answer.by)
    confirmation = _confirmation(release_id, restricted, answer.is_approval, answer.by)
    files.append_line(restricted.confirmations, json.dumps(asdict(confirmation)))
    return confirmation


def _confirmation(release_id: str, restricted: Restricted, yes: bool, by: str) -> Confirmation:
    return Confirmation(
        release_id=release_id,
        account=account_hash(restricted),
        confirmed=yes,
        by=by,
        answered_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _earlier(restricted: Restricted, release_id: str) -> Confirmation | None:
    """The last answer about this release and this account, unless somebody answers anew."""
    if environment.approval_answer() is not None:
        return None
    answer = person.last_answer(
        restricted.confirmations, release_id=release_id, account=account_hash(restricted)
    )
    return None if answer is None else Confirmation(**answer)
