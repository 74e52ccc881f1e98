"""Commands that make and run workspaces (`pipeline/cli/runs.py`): the DAGs call them, and so does a
person without Airflow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.cli.arguments.command import (
    Commands,
    Later,
    add_cohorts,
    add_command,
    add_dataset,
    add_extract_date,
    add_plan,
    add_rows,
    names,
    number_or_none,
    text_or_none,
)
from pipeline.options import count, seed
from pipeline.stages import APPROVALS, AS_DECLARED, IN_A_RUN, STAGES


def add(commands: Commands) -> None:
    _add_refresh(commands)
    _add_draw(commands)
    _add_check_source(commands)
    _add_check_request(commands)
    _add_inside_a_workspace(commands)
    _add_augment(commands)
    in_run = add_command(
        commands,
        "in-run",
        "run one stage, or another command of a run, wherever its workspace is",
        Later("runs", "in_run"),
    )
    in_run.add_argument("release_id", help="release id of the run")
    in_run.add_argument("command", choices=(*STAGES, *IN_A_RUN), help="what is run there")
    verify = add_command(
        commands,
        "verify",
        "check a published release: files, tag, ledger, columns, that the model gives it again, and"
        " its charge in the transparency log; or, without a home, a release's folder",
        Later("runs", "verify_release"),
    )
    verify.add_argument("release", help="release id, or a release's folder, such as ./FOLDER")
    verify.add_argument(
        "--older",
        type=Path,
        help="an older release's folder, or its transparency.json: the log must have grown from it",
    )
    verify.add_argument(
        "--store",
        type=Path,
        help="for a folder: a clone of the released version store; every release there is compared",
    )


def _add_refresh(commands: Commands) -> None:
    refresh = add_command(
        commands,
        "refresh",
        "make a release without Airflow: workspace and all stages",
        Later("runs", "refresh"),
    )
    add_dataset(refresh)
    _add_request(refresh)
    prepare = add_command(
        commands,
        "prepare",
        "make the workspace of a run and open the population of simulated or public data",
        Later("runs", "prepare"),
    )
    add_dataset(prepare, "--dataset")
    _add_request(prepare)


def _add_request(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--release-id", required=True, help="name of the release: 3 to 41 of a-z, 0-9 and -"
    )
    command.add_argument(
        "--source",
        type=text_or_none,
        help="folder or file of the source tables, or a database's address; default: what the"
        " custodian declared",
    )
    command.add_argument(
        "--label",
        type=text_or_none,
        help="public name of this state of the source; default: the declared one",
    )
    add_extract_date(command)
    command.add_argument(
        "--epsilon", type=number_or_none, help="privacy loss of this release; default: params.yaml"
    )
    add_rows(command)
    add_cohorts(
        command,
        "whose rows the release opens and is charged to, where the population has cohorts",
    )
    command.add_argument(
        "--owner",
        type=text_or_none,
        help="the run that asks (Airflow's run id), so that its retries are known",
    )
    _add_asked_by(command)
    command.add_argument(
        "--approval",
        choices=APPROVALS,
        default=AS_DECLARED,
        help=(
            "whether a person must let this run out though params.yaml lets it approve itself;"
            " default: as declared"
        ),
    )


def _add_draw(commands: Commands) -> None:
    draw = add_command(
        commands,
        "prepare-draw",
        "make the workspace of a draw: a new extract from a published model, free",
        Later("runs", "prepare_draw"),
    )
    draw.add_argument(
        "--model-of", required=True, help="the published release whose model is drawn from"
    )
    draw.add_argument("--release-id", required=True, help="name of the new release")
    add_rows(draw)
    draw.add_argument(
        "--plan",
        type=text_or_none,
        help=(
            "a plan for drawing: YAML or JSON with where, begins and shares, as docs/plans.md"
            " describes it; default: draw.plan of params.yaml"
        ),
    )
    draw.add_argument("--owner", type=text_or_none, help="the run that asks (Airflow's run id)")
    _add_asked_by(draw)


def _add_asked_by(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--asked-by",
        type=text_or_none,
        help="who asks, for auditors; default: the user of this machine",
    )


def _add_augment(commands: Commands) -> None:
    augment = add_command(
        commands,
        "augment",
        "put synthetic patients below the real ones of a run, by a plan; restricted, as all that"
        " is made of it",
        Later("runs", "augment"),
    )
    augment.add_argument("release", help="release id of the run")
    augment.add_argument("--name", required=True, help="name of the folder below augmented/")
    augment.add_argument("--rows", type=count, required=True, help="synthetic patients to add")
    augment.add_argument("--seed", type=seed, default=1, help="seed of the draw, default 1")
    add_plan(augment)


def _add_check_source(commands: Commands) -> None:
    check = add_command(
        commands,
        "check-source",
        "say whether a dataset has a source that no release was charged for yet; exit code 99"
        " if not",
        Later("runs", "check_source"),
    )
    add_dataset(check, "--dataset")
    check.add_argument(
        "--source",
        type=text_or_none,
        help="a source named by hand; default: what the custodian declared",
    )
    check.add_argument(
        "--label", type=text_or_none, help="its public label; default: the declared one"
    )
    add_cohorts(check, "whose rows it would open")
    check.add_argument(
        "--again",
        type=text_or_none,
        help="any text: a source that the last charge was for is released once more",
    )
    check.add_argument(
        "--release-id",
        type=text_or_none,
        help="the release that asks: it may go on where it was charged and stopped",
    )
    check.add_argument(
        "--other-datasets",
        type=names,
        default=(),
        metavar="NAME,NAME",
        help=(
            "other datasets whose sources were declared meanwhile: the log says that this run"
            " leaves them out"
        ),
    )


def _add_check_request(commands: Commands) -> None:
    check = add_command(
        commands,
        "check-request",
        "say whether a request of the portal can be met; refuses before anything is started",
        Later("requests", "check_request"),
    )
    check.add_argument(
        "--kind", choices=("draw", "training"), required=True, help="what is asked for"
    )
    check.add_argument("--dataset", type=text_or_none, help="dataset of a training")
    check.add_argument("--model-of", type=text_or_none, help="release whose model is drawn from")
    check.add_argument(
        "--epsilon", type=number_or_none, help="privacy loss of a training; default: params.yaml"
    )
    check.add_argument("--plan", type=text_or_none, help="a plan for drawing (docs/plans.md)")
    check.add_argument("--asked-by", required=True, help="e-mail address of who asks")
    check.add_argument("--approved-by", required=True, help="e-mail address of who approved it")


def _add_inside_a_workspace(commands: Commands) -> None:
    add_command(
        commands,
        "mend-lock",
        "in a workspace: remove what a kill or a full disk left of DVC's lock; fails where all is"
        " well",
        Later("runs", "mend_lock"),
    )
    record = add_command(
        commands,
        "record",
        "commit dvc.lock of the current workspace to the restricted version store",
        Later("runs", "record"),
    )
    record.add_argument("stage", choices=list(STAGES), help="the stage that has just run")
    add_command(
        commands,
        "gate",
        "in the workspace of a draw: stop where a synthetic row breaks a rule (a refresh does it in"
        " evaluate)",
        Later("runs", "gate"),
    )
    add_command(
        commands,
        "needs-confirmation",
        "in a workspace: say in the last line whether a person must confirm what ingest kept",
        Later("runs", "needs_confirmation"),
    )
    add_command(
        commands,
        "needs-approval",
        "in a workspace: say in the last line whether a person must approve, or the run may itself",
        Later("runs", "needs_approval"),
    )
    add_command(
        commands,
        "track",
        "in a workspace: bring MLflow up to date with its stages",
        Later("runs", "track"),
    )
