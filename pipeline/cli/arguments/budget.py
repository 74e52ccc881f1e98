"""The report on every population's budget (`pipeline/cli/budget.py`)."""

from __future__ import annotations

from pathlib import Path

from pipeline.cli.arguments.command import Commands, Later, add_command


def add(commands: Commands) -> None:
    report = add_command(
        commands,
        "budget-report",
        "write how every population's budget was spent: a page, a picture and figures",
        Later("budget", "write_report"),
    )
    report.add_argument(
        "--out", type=Path, help="a folder for the report alone; default: state/budget"
    )
    report.add_argument(
        "--mlflow", action="store_true", help="put it into MLflow as well, experiment `budget`"
    )
    add_command(
        commands,
        "enough-budget",
        "in a workspace: exit code 0 where its population has budget left for more releases, 99"
        " where it runs low",
        Later("budget", "is_enough"),
    )
