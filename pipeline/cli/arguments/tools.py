"""Tools for people (`pipeline/cli/tools.py`): simulate a source, fit and draw for benchmarks, write
the suites of expectations.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.cli.arguments.command import (
    Commands,
    Later,
    add_command,
    add_extract_date,
    names,
)
from pipeline.options import count, number, seed


def add(commands: Commands, *, with_simulator: bool) -> None:
    """`with_simulator` loads the simulator for its own options."""
    simulate = add_command(
        commands,
        "simulate",
        "write a plausible confidential extract with known truth",
        Later("tools", "simulate"),
    )
    if with_simulator:
        from pipeline.simulator import command

        command.add_arguments(simulate)
    _add_fit(commands)
    _add_draw(commands)
    expectations = add_command(
        commands,
        "expectations",
        "write the suites of all declarations to expectations/",
        Later("tools", "expectations"),
    )
    expectations.add_argument(
        "--check",
        action="store_true",
        help="only say whether the committed suites are stale (exit code 2)",
    )


def _add_fit(commands: Commands) -> None:
    fit = add_command(
        commands,
        "fit",
        "fit a model for benchmarks, without ledger; public datasets only",
        Later("tools", "fit"),
    )
    fit.add_argument(
        "--dataset", type=Path, required=True, help="a declaration, FILE.yaml, with public: true"
    )
    fit.add_argument(
        "--source",
        required=True,
        help="folder or file of the source tables, or a database's address",
    )
    fit.add_argument("--epsilon", type=number, required=True, help="privacy loss of the model")
    fit.add_argument("--delta", type=number, default=1e-6, help="default 1e-6")
    add_extract_date(fit, "; datasets of pathways")
    fit.add_argument(
        "--model", type=Path, required=True, help="folder to write the model to; it must not exist"
    )


def _add_draw(commands: Commands) -> None:
    draw = add_command(
        commands,
        "draw",
        "draw synthetic patients from a finished or published model, free",
        Later("tools", "draw"),
    )
    draw.add_argument("--model", type=Path, required=True, help="a model's folder")
    draw.add_argument("--rows", type=count, required=True, help="synthetic patients to draw")
    draw.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a .csv file for a single table, else a folder for one CSV per table",
    )
    draw.add_argument("--seed", type=seed, default=1, help="public seed of the draw, default 1")
    draw.add_argument(
        "--sets",
        type=count,
        default=1,
        help="how many sets of so many patients, each in a folder of its own below --out, from"
        " seeds in a row; docs/estimates.md says how to combine what is found in them",
    )
    add_extract_date(draw, "; datasets of pathways; default: the one that the model was made with")
    draw.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUES",
        help=(
            "a condition that holds for every row: values (sex=Female,Male) or a range of numbers,"
            " dates or ordered values (age=30..50); once per column"
        ),
    )
    draw.add_argument(
        "--begins",
        type=names,
        default=(),
        metavar="TYPE,TYPE=CODE",
        help=(
            "a prompt on how pathways start: of treatments and types named here these come first,"
            " in order: SURGERY,SACT_REGIMEN"
        ),
    )
