"""`python -m pipeline dataset`: from files to a declaration that fits them
(`pipeline/cli/datasets.py`).
"""

from __future__ import annotations

import argparse

from pipeline.cli.arguments.command import (
    Commands,
    Later,
    add_actions,
    add_cohorts,
    add_command,
    add_dataset,
    add_extract_date,
    number_or_none,
)
from pipeline.options import count
from pipeline.population_limits import KINDS

_CHECK = (
    "dry run of a declaration on its source: what does not fit, column by column, and how to"
    " declare it; charges nothing and leaves nothing"
)


def add(commands: Commands) -> None:
    dataset = add_command(
        commands,
        "dataset",
        "from files to a declaration that fits them: draft, check, explain",
        Later("datasets", "show"),
    )
    actions = add_actions(dataset)
    _add_draft(actions)
    add_check_arguments(add_command(actions, "check", _CHECK, Later("datasets", "check")))
    _add_explain(actions)
    add_check_arguments(
        add_command(commands, "check", f"as `dataset check`: {_CHECK}", Later("datasets", "check"))
    )


def _add_draft(actions: Commands) -> None:
    draft = add_command(
        actions,
        "draft",
        "write a declaration to review, guessed from the rows of files; restricted, and refused"
        " until a person has replaced what came from rows",
        Later("datasets", "draft"),
    )
    draft.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="one file per table: CSV and its kin, JSON lines, Excel or Parquet",
    )
    draft.add_argument("--name", help="name of the dataset; default: the first file's")
    draft.add_argument(
        "--kind",
        choices=KINDS,
        help="whose rows these are; default: confidential",
    )
    draft.add_argument(
        "--public",
        metavar="SOURCE",
        help="where these very rows were published, for anybody to read: what they hold is then a"
        " public source, and nothing is marked for review",
    )
    draft.add_argument("--universe", help="who these people are, in words")
    draft.add_argument(
        "--size", type=count, help="about how many people there are, as is publicly known"
    )
    draft.add_argument(
        "--pathways",
        action="store_true",
        help="of one row per patient: numbers of days that have a status beside them, such as"
        " futime and death, are events, and the end of follow-up; without it they are columns",
    )


def add_check_arguments(check: argparse.ArgumentParser) -> None:
    add_dataset(check)
    check.add_argument(
        "--source",
        help="folder or file of the source tables, or a database's address; default: the declared"
        " source, if there is one; without any, the declaration alone is checked",
    )
    check.add_argument(
        "--show-values",
        action="store_true",
        help="show cells that do not fit, not only their shape; for people who may see patients'"
        " rows",
    )
    add_extract_date(check)


def _add_explain(actions: Commands) -> None:
    explain = add_command(
        actions,
        "explain",
        "what will be modelled, what is rebuilt or left empty, and what a release costs: mechanisms"
        " and their noise, pairs that nobody looks at, how many such releases fit; reads no row",
        Later("datasets", "explain"),
    )
    add_dataset(explain)
    explain.add_argument(
        "--epsilon", type=number_or_none, help="privacy loss of the release; default: params.yaml"
    )
    add_cohorts(explain, "whose rows it would open")
    add_extract_date(explain, "; default: the declared one")
