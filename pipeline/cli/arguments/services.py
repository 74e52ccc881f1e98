"""Airflow and MLflow, and the run that `make run` starts (`pipeline/cli/services.py`)."""

from __future__ import annotations

from pipeline.cli.arguments.command import (
    Commands,
    Later,
    add_command,
    count_or_none,
    date_or_none,
    number_or_none,
    text_or_none,
)


def add(commands: Commands) -> None:
    add_command(
        commands,
        "setup",
        "make the state that a first run needs: version stores, remotes, MLflow, Airflow's home",
        Later("services", "setup"),
    )
    add_command(
        commands,
        "up",
        "start Airflow, MLflow and the portal, print addresses and passwords",
        Later("services", "up"),
    )
    add_command(commands, "down", "stop Airflow, MLflow and the portal", Later("services", "down"))
    add_command(
        commands,
        "doctor",
        "find what is wrong with this installation, and say what to do; it changes nothing",
        Later("doctor.command", "run"),
    )
    watch = add_command(
        commands,
        "watch",
        "look for what somebody should hear of at night; exit code 2 where something was found",
        Later("watch", "run"),
    )
    watch.add_argument(
        "--tell",
        action="store_true",
        help="tell custodians of what was found, each thing once a day, as the DAG watch does",
    )
    _add_run(commands)


def _add_run(commands: Commands) -> None:
    run = add_command(
        commands,
        "run",
        "what `make run` does: source, Airflow, the DAG refresh followed to its end",
        Later("services", "run"),
    )
    run.add_argument(
        "--dataset",
        type=text_or_none,
        help="a declaration in datasets/; default: simulated_pathways",
    )
    run.add_argument(
        "--source",
        type=text_or_none,
        help="source tables; default: what is declared; simulated for simulated_pathways",
    )
    run.add_argument(
        "--label",
        type=text_or_none,
        help="public label of the source; default: dataset and today's date",
    )
    run.add_argument("--patients", type=count_or_none, help="patients to simulate, default 5000")
    run.add_argument("--epsilon", type=number_or_none, help="default: params.yaml")
    run.add_argument("--rows", type=count_or_none, help="default: params.yaml")
    run.add_argument("--release-id", type=text_or_none, help="default: dataset and time")
    run.add_argument(
        "--next",
        action="store_true",
        help="`make refresh`: simulate the next extract of the same patients first",
    )
    run.add_argument(
        "--extract-date",
        type=date_or_none,
        help="with --next: its date, YYYY-MM-DD; default: a quarter after the last",
    )
