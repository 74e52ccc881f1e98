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
    add_plan,
    names,
)
from pipeline.options import count, number, numbers, seed


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
    _add_experiment(commands)
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


def _add_experiment(commands: Commands) -> None:
    experiment = add_command(
        commands,
        "experiment",
        "measure what synthetic rows are good for on public tables: balance, substitution",
        Later("tools", "experiment"),
    )
    experiment.add_argument(
        "name",
        choices=("heart-balance", "census-balance", "substitution"),
        help="which experiment (docs/experiments.md)",
    )
    experiment.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for results, tables and plot; runs that are in there are not done again",
    )
    experiment.add_argument(
        "--data", type=Path, help="folder with the public tables' files (docs/experiments.md)"
    )
    experiment.add_argument(
        "--sets", type=names, default=(), metavar="NAME,NAME", help="tables of substitution"
    )
    experiment.add_argument("--splits", type=count, help="random splits; default: as published")
    experiment.add_argument(
        "--epsilons",
        type=numbers,
        default=(1.0, 3.0, 10.0, 1000.0),
        metavar="E,E",
        help="privacy losses, 1000 for as good as none; default 1,3,10,1000",
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
    add_plan(draw)
