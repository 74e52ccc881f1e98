"""How sure one can be of a figure (`pipeline/cli/estimate.py`)."""

from __future__ import annotations

from pipeline.cli.arguments.command import Commands, Later, add_command
from pipeline.options import count

_GROUP = "COLUMN=VALUES"


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "estimate",
        "a figure of a release with an interval that holds the privacy noise, from its charged"
        " counts; free. Without a figure: what can be asked",
        Later("estimate", "estimate"),
    )
    command.add_argument("release", help="id of a published release, or the folder of a model")
    figure = command.add_mutually_exclusive_group()
    figure.add_argument(
        "--share",
        nargs="+",
        metavar=_GROUP,
        help="share of patients who meet all conditions: GENDER=2 STAGE_GROUP=3,4 AGE=70..79",
    )
    figure.add_argument("--count", nargs="+", metavar=_GROUP, help="their number in the source")
    figure.add_argument("--mean", metavar="COLUMN", help="mean of a number")
    figure.add_argument(
        "--survival",
        nargs="*",
        metavar=_GROUP,
        help="share alive at the beginning of --day; of everybody where no condition is given",
    )
    figure.add_argument(
        "--hazard-ratio",
        nargs="+",
        metavar=_GROUP,
        help="hazard of this group over that of the group after --against, as a Cox model of the"
        " two would give it",
    )
    command.add_argument("--against", nargs="+", metavar=_GROUP, help="the other group")
    command.add_argument(
        "--day", type=count, default=366, help="day since the origin, default 366: a year"
    )
    command.add_argument("--json", action="store_true", help="as JSON")
