"""`python -m pipeline audit` (`pipeline/cli/audit.py`)."""

from __future__ import annotations

from pathlib import Path

from pipeline.cli.arguments.command import Commands, Later, add_command


def add(commands: Commands) -> None:
    audit = add_command(
        commands,
        "audit",
        "check that the conditions of the guarantee hold in this code, on people it makes up; exit"
        " code 1 if not",
        Later("audit", "run"),
    )
    audit.add_argument(
        "--long", action="store_true", help="the long checks too: larger samples, an hour or so"
    )
    audit.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="one check by its name; may be repeated",
    )
    audit.add_argument("--list", action="store_true", help="only name the checks and what they ask")
    audit.add_argument("--out", type=Path, help="a JSON file for the findings")
