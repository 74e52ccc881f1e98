"""Making and running workspaces: what the DAGs call, and the same without Airflow."""

from __future__ import annotations

import argparse
import getpass
import logging
from pathlib import Path

from pipeline import params
from pipeline.catalog import Home, Workspace
from pipeline.cli.console import say
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs import places, sources, travel, version_stores, workspace
from pipeline.runs.declarations import declaration_path
from pipeline.runs.stage_lock import alone
from pipeline.schema.reader import read_schema
from pipeline.stages import (
    BY_A_PERSON,
    BY_ITSELF,
    STAGES,
    UNCHANGED,
    announcement,
    repro_command,
)

logger = logging.getLogger(__name__)


def _request(options: argparse.Namespace) -> workspace.Request:
    return workspace.Request(
        release_id=options.release_id,
        dataset=options.dataset,
        source=options.source,
        label=options.label,
        extract_date=options.extract_date,
        epsilon=options.epsilon,
        rows=options.rows,
        owner=options.owner,
        cohorts=options.cohorts,
        approval=options.approval,
        asked_by=options.asked_by or getpass.getuser(),
    )


def prepare(options: argparse.Namespace) -> None:
    """Workspace of one run; opens the population where the declaration says simulated or public."""
    from pipeline.cli.ledger import ensure_population

    home = Home.find()
    run = workspace.make(home, _request(options))
    ensure_population(home, read_schema(run.dataset))
    logger.info("prepare: the workspace is runs/%s", run.root.name)


def refresh(options: argparse.Namespace) -> int:
    """All stages without Airflow. Stops at the first stage that fails, with its exit code."""
    from pipeline.cli.outcome import say_outcome

    home = Home.find()
    prepare(options)
    run = home.workspace(options.release_id)
    for stage in workspace.unfinished_stages(home, run):
        say(announcement(stage))
        if code := workspace.run_stage(run, stage):
            logger.error("refresh: %s stopped; the same command again goes on from there", stage)
            return code
    return say_outcome(home, options.dataset, options.release_id, "success")


def in_run(options: argparse.Namespace) -> int:
    """One command in the workspace of a run, which comes here first where another host made it."""
    command = options.command
    line = repro_command(command) if command in STAGES else f"python -m pipeline {command}"
    with travel.visiting(Home.find(), options.release_id, command) as run:
        return workspace.run_there(run, line)


def prepare_draw(options: argparse.Namespace) -> None:
    from pipeline.draw_plan import read_plan
    from pipeline.runs import draw_workspace

    draw = draw_workspace.make(
        Home.find(),
        draw_workspace.Request(
            model_of=options.model_of,
            release_id=options.release_id,
            rows=options.rows,
            plan=read_plan(options.plan or "", "--plan"),
            owner=options.owner,
            asked_by=options.asked_by or getpass.getuser(),
        ),
    )
    logger.info("prepare-draw: the workspace is runs/%s", draw.root.name)


def augment(options: argparse.Namespace) -> None:
    """Says where the patients are, real and synthetic."""
    from pipeline.plan_options import plan_in
    from pipeline.restricted import augment as augmentation

    plan = plan_in(
        options.plan or "", where=options.where, begins=options.begins, shares=options.share
    )
    folder = augmentation.run(
        Home.find().workspace(options.release), options.name, options.rows, plan, options.seed
    )
    say(f"Real and {options.rows} synthetic patients are in {folder} (restricted).")


def mend_lock(options: argparse.Namespace) -> int:
    """0 where DVC's lock was broken, held by nobody, and is mended; 1 where there was nothing to
    mend.
    """
    with alone(Workspace(Path.cwd())):  # no stage runs there meanwhile
        if not version_stores.mend_lock(Path.cwd()):
            return 1
    logger.warning(
        "DVC's lock .dvc/tmp/rwlock was broken off by a kill or a full disk and held by nobody: it"
        " is removed"
    )
    return 0


def record(options: argparse.Namespace) -> None:
    with alone(_here()):
        workspace.record(Home.find(), _here(), options.stage)


def check_source(options: argparse.Namespace) -> int:
    """0 where there is something to make a release of, 99 where there is not. Only public labels
    are compared.

    Raises Refusal if nothing lies at the source.
    """
    home = Home.find()
    schema = read_schema(declaration_path(options.dataset))
    if options.other_datasets:
        logger.warning(
            "check-source: sources of %s were declared too while another run was going; this run"
            " releases %s only. Start the others by hand: DAG refresh, with their dataset",
            ", ".join(options.other_datasets),
            options.dataset,
        )
    source = sources.get(home, options.dataset)
    place = options.source or (source.path if source is not None else None)
    if place is None:
        logger.info("check-source: no source of %s is declared; nothing to do", options.dataset)
        return UNCHANGED
    path = places.resolved(place)
    if not places.is_there(path):
        raise Refusal(
            f"there is nothing at {path}, the source of {options.dataset}: put the files there, or"
            " declare where they are with `python -m pipeline sources set` or the DAG"
            " declare_source"
        )
    is_declared = source is not None and source.path == path
    label = options.label or (source.label if source is not None and is_declared else None)
    if label is None:
        logger.info("check-source: %s has a source named by hand", options.dataset)
        return 0
    return _check_label(options, Ledger(home.ledger), schema.population.name, label)


def _check_label(options: argparse.Namespace, ledger: Ledger, population: str, label: str) -> int:
    """99 where the last charge was for this label already; not where the same run goes on."""
    last = ledger.last_charge(population, options.cohorts)
    state = ledger.state(last.release_id) if last is not None else None
    is_retry = last is not None and (last.release_id, state) == (options.release_id, "reserved")
    is_known = last is not None and last.source_label == label
    if last is not None and is_known and not is_retry and not options.again:
        logger.info(
            "check-source: the source of %s is still %r, for which %s was charged (%s); skipped,"
            " nothing is charged. Another attempt is by hand: the same release id again where it"
            " stopped, or `python -m pipeline refresh`",
            options.dataset,
            last.source_label,
            last.release_id,
            state,
        )
        return UNCHANGED
    logger.info(
        "check-source: the source of %s is %r, the last charge was for %s",
        options.dataset,
        label,
        repr(last.source_label) if last else "none",
    )
    return 0


def gate(options: argparse.Namespace) -> None:
    """Raises Refusal where the synthetic tables break a rule. It reads synthetic rows only."""
    from pipeline.checks.synthetic_gate import check_synthetic
    from pipeline.draw_plan import plan_of
    from pipeline.models import noisy_tables

    here = _here()
    settings = params.load(here.params)
    result = check_synthetic(
        read_schema(here.dataset),
        here.released.extract.parquet,
        here.released.synthetic.root,
        extract_date=settings.release.extract_date,
        out=here.restricted.gate.root,
        gate=settings.gate,
        plan=plan_of(settings.drawn_plan, "draw.plan"),
        noisy_counts=noisy_tables.category_counts(noisy_tables.load(here.released.model / "table")),
    )
    if not result.passed:
        raise Refusal(result.refusal)
    logger.info("gate: the synthetic tables keep every rule")


def needs_confirmation(options: argparse.Namespace) -> None:
    """Says who must confirm what ingest kept; the last line is BY_ITSELF or BY_A_PERSON."""
    from pipeline.restricted import person

    itself = person.answers_for_itself(read_schema(_here().dataset))
    who = "the run itself (simulated or public data)" if itself else "a person, as for real data"
    logger.info("needs-confirmation: what ingest kept is confirmed by %s", who)
    say(BY_ITSELF if itself else BY_A_PERSON)


def account(options: argparse.Namespace) -> None:
    """Prints what ingest kept, repaired and dropped in a run. Restricted."""
    from pipeline.restricted import account_table

    say(account_table.question(Home.find().workspace(options.release_id).restricted))


def needs_approval(options: argparse.Namespace) -> None:
    """Says who must approve; the last line is BY_ITSELF or BY_A_PERSON."""
    from pipeline.restricted.approve import may_approve_itself
    from pipeline.services import tracking

    here = _here()
    if may_approve_itself(params.load(here.params), read_schema(here.dataset)):
        logger.info(
            "needs-approval: the run approves itself (simulated or public data,"
            " approve.self_approve)"
        )
        say(BY_ITSELF)
        return
    tracking.sync(Home.find(), here)  # a run may wait for days: its charge shows meanwhile
    logger.info("needs-approval: a person must approve")
    say(BY_A_PERSON)


def track(options: argparse.Namespace) -> None:
    from pipeline.services import tracking

    say(f"MLflow run {tracking.sync(Home.find(), _here())}")


def verify_release(options: argparse.Namespace) -> int:
    from pipeline.released.verify import verify, verify_folder

    what = str(options.release)
    if "/" in what or what.startswith((".", "~")):
        checks = verify_folder(Path(what).expanduser(), options.older, options.store)
    elif options.store is not None:
        raise Refusal(
            "--store goes with a release's folder (./FOLDER): a release of this home is compared"
            " with the home's own store"
        )
    else:
        checks = verify(Home.find(), what, options.older)
    for check in checks:
        say(
            f"  {'yes' if check.passed else 'NO '}  {check.question}"
            + "".join(f": {text}" for text in (check.fault, check.note) if text)
        )
    sound = all(check.passed for check in checks)
    say(f"{what} is {'sound' if sound else 'NOT sound'}.")
    return 0 if sound else 1


def _here() -> Workspace:
    here = Workspace(Path.cwd())
    if not here.params.is_file() or not here.dataset.is_file():
        raise Refusal(
            "this folder is no workspace of a run (no params.yaml and dataset.yaml): go to"
            " runs/<release_id>/"
        )
    return here
