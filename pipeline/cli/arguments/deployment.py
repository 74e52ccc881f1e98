"""Where things live that several hosts share (`pipeline/cli/deployment.py`)."""

from __future__ import annotations

from pathlib import Path

from pipeline.cli.arguments.command import Commands, Later, add_actions, add_command
from pipeline.options import count


def add(commands: Commands) -> None:
    deployment = add_command(
        commands,
        "deployment",
        "several hosts: check the places of deployment.yaml, fetch what other hosts made",
        Later("deployment", "check"),
    )
    actions = add_actions(deployment)
    add_command(
        actions, "check", "one line for each place that is named", Later("deployment", "check")
    )
    fetch = add_command(
        actions,
        "fetch",
        "bring published releases here, or a run with its report",
        Later("deployment", "fetch"),
    )
    fetch.add_argument("--run", help="release id of a run; default: all published releases")
    keys = add_command(
        actions,
        "new-keys",
        "make the secrets of a new deployment, to be mounted on every host",
        Later("deployment", "new_keys"),
    )
    keys.add_argument("folder", type=Path, help="a folder that is new or empty")
    worker = add_command(
        actions,
        "worker",
        "run Airflow's Celery worker in the foreground",
        Later("deployment", "worker"),
    )
    worker.add_argument(
        "kinds",
        nargs="+",
        choices=("restricted", "train", "released"),
        help="whose queues it takes: those that this host's credentials are for",
    )
    worker.add_argument("--concurrency", type=count, default=2, help="tasks at once; default 2")
