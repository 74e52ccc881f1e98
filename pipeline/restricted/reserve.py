"""Stage reserve: plans the joint mechanism from the declaration and the params alone, and charges
the ledger for it.

No patient's row is read here (privacy_rules.md 3, 10): all that is required is that validate has
written its results, and that the rows are still of whom the charge would name.
"""

from __future__ import annotations

import getpass
import logging
from typing import Any

from pipeline import files
from pipeline.catalog import Home, Workspace
from pipeline.checks.rules import check_gate
from pipeline.dp import events
from pipeline.ledger import Ledger, Reservation, budget_after_charge
from pipeline.models.synthesizer.plan import Plan, joint_plan
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.released.privacy_facts import published_chain_heads
from pipeline.restricted import confirmation
from pipeline.restricted.ingest import origin
from pipeline.restricted.ingest.cohorts import Register
from pipeline.restricted.ingest.key_check import check_key_of
from pipeline.runs import chain_heads
from pipeline.schema.values import Schema
from pipeline.services.tracking import tracked_chain_heads

logger = logging.getLogger(__name__)


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Writes `restricted/reservation.json`, and `restricted/budget.json` with a warning where
    little is left. The same run twice charges once.

    Raises BudgetExceeded (nothing was charged; the message says what fits), ReservationConflict, or
    Refusal before validate has run.
    """
    release_id, label = _release_to_charge(workspace, params)
    check_gate(params.gate)
    confirmation.check(workspace.restricted, release_id)
    home = Home.find()
    ledger = Ledger(home.ledger)
    # an old copy put back has forgotten what was spent since
    ledger.verify(noted_chain_heads(home) | tracked_chain_heads(home))
    # the ledger's facts bind, even if somebody edited the workspace's dataset.yaml
    ledger.check_declared(schema.population)
    check_key_of(home, schema.population.name)
    register = Register(home, schema).marks() if schema.population.cohorts else []
    if (rows := origin.read(workspace.restricted)) is not None:
        origin.refuse_other_rows(rows, origin.origin_of(schema, params.release), register)
    plan = joint_plan(schema, params.privacy, params.train, params.release.extract_date)
    logger.info("reserve: planned for epsilon %g at delta %g", plan.epsilon, plan.delta)
    population, plan_sha256 = schema.population.name, files.json_sha256(plan.to_json())
    reservation = _earlier_charge(ledger, params, population, plan_sha256) or ledger.reserve(
        release_id,
        population,
        plan.dp_event,
        by=getpass.getuser(),
        source_label=label,
        plan_sha256=plan_sha256,
        cohorts=params.release.cohorts,
        register=register,
        seed=params.sample.seed,
    )
    chain_heads.note(home, release_id)
    facts = _facts(release_id, reservation, plan)
    whose = origin.to_json(origin.origin_of(schema, params.release))
    files.write_json(workspace.restricted.reservation, facts | whose)
    logger.info(
        "reserve: entry %d of the ledger holds epsilon %.4g for %s",
        reservation.entry,
        reservation.epsilon,
        reservation.population,
    )
    standing = budget_after_charge(ledger, reservation, params.privacy)
    files.write_json(workspace.restricted.budget, standing)
    if standing["warning"]:
        logger.warning("LOW BUDGET: %s", standing["warning"])


def _release_to_charge(workspace: Workspace, params: Params) -> tuple[str, str]:
    """(release id, label of the source). Raises Refusal where a charge would come too early."""
    release_id, label = params.release.id, params.release.source_label
    if release_id is None or label is None:
        raise Refusal(
            "params.yaml: release.id and release.source_label must be filled in before a charge;"
            " `python -m pipeline prepare` does"
        )
    if not workspace.restricted.validation.root.is_dir():
        raise Refusal(
            "validate has not run in this workspace: run it before reserve, so that a broken"
            " source costs nothing"
        )
    return release_id, label


def _facts(release_id: str, reservation: Reservation, plan: Plan) -> dict[str, Any]:
    """reservation.json: what was charged, and by which plan."""
    return {
        "release_id": release_id,
        "population": reservation.population,
        "epsilon": reservation.epsilon,
        "delta": reservation.delta,
        "entry": reservation.entry,
        "at": reservation.at,
        "head": reservation.entry_hash,
        "source_label": reservation.source_label,
        "mechanisms": plan.mechanisms(),
        "event": events.to_json(reservation.event),
        "plan": plan.to_json(),
    }


def noted_chain_heads(home: Home) -> dict[str, str]:
    """{where: head of the ledger's chain} wherever a run of this home noted one: published cards,
    the reservations of runs, published or not, and the notes that outlive the runs.
    """
    reservations = (
        (run.parent.parent.name, files.read_json(run))
        for run in sorted(home.runs.glob("[!.]*/restricted/reservation.json"))
    )
    return (
        published_chain_heads(home)
        | chain_heads.notes(home)
        | {
            f"the reservation of {name}": str(reservation["head"])
            for name, reservation in reservations
            if reservation
        }
    )


def _earlier_charge(
    ledger: Ledger, params: Params, population: str, plan_sha256: str
) -> Reservation | None:
    """The charge of a published release, if this request is exactly that release. The ledger
    refuses a closed id; `dvc repro` in a finished workspace must not fail.
    """
    release = params.release
    reservation = ledger.reservation(str(release.id))
    if reservation is None or ledger.state(str(release.id)) != "released":
        return None
    request = (population, release.source_label, plan_sha256, release.cohorts)
    charge = (
        reservation.population,
        reservation.source_label,
        reservation.plan_sha256,
        reservation.cohorts,
    )
    is_same = charge == request and reservation.seed in (None, params.sample.seed)
    return reservation if is_same else None
