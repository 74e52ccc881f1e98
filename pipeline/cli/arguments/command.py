"""What the groups of commands share: how a command is added, and the types of its arguments."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from pipeline.options import count, day, file_text, number

Runner = Callable[[argparse.Namespace], int | None]
Commands = Any  # argparse's own type for this, _SubParsersAction, is private to it


@dataclass(frozen=True)
class Later:
    """A function of `pipeline/cli/`, called with the parsed options; its module is loaded then and
    not before.
    """

    module: str
    function: str

    def load(self) -> Runner:
        runner: Runner = getattr(
            importlib.import_module(f"pipeline.cli.{self.module}"), self.function
        )
        return runner

    def __call__(self, options: argparse.Namespace) -> int | None:
        return self.load()(options)


def add_command(
    commands: Commands, name: str, summary: str, runner: Runner
) -> argparse.ArgumentParser:
    """The parser of a new command, to which its arguments are added. `summary` is its help."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary[:1].upper() + summary[1:] + "."
    )
    command.set_defaults(run=runner)
    return command


def add_actions(command: argparse.ArgumentParser) -> Commands:
    """Where the actions of a command are added: `ledger show`, `ledger quote`."""
    return command.add_subparsers(title="actions", metavar="ACTION")


def text_or_none(text: str) -> str | None:
    """An option that a form leaves empty counts as not set."""
    return text or None


def date_or_none(text: str) -> date | None:
    return day(text) if text else None


def number_or_none(text: str) -> float | None:
    return number(text) if text else None


def count_or_none(text: str) -> int | None:
    return count(text) if text else None


def names(text: str) -> tuple[str, ...]:
    """`a,b` as two names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def add_extract_date(command: argparse.ArgumentParser, note: str = "") -> None:
    command.add_argument(
        "--extract-date",
        type=date_or_none,
        help=f"public last day of observation, YYYY-MM-DD{note}",
    )


def add_cohorts(command: argparse.ArgumentParser, explanation: str) -> None:
    command.add_argument(
        "--cohorts",
        type=names,
        default=(),
        metavar="NAME,NAME",
        help=f"{explanation}; default: everybody's",
    )


def add_dataset(command: argparse.ArgumentParser, name: str = "dataset") -> None:
    """`name` is `dataset` or `--dataset`; either is required."""
    argument = command.add_argument(name, help="a declaration in datasets/")
    argument.required = True


def add_rows(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--rows", type=count_or_none, help="synthetic patients to draw; default: params.yaml"
    )


def add_reason(command: argparse.ArgumentParser) -> None:
    command.add_argument("--reason", required=True, help="why; kept in the ledger")


def add_plan(command: argparse.ArgumentParser) -> None:
    """Whom to draw."""
    command.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUES",
        help=(
            "a condition that holds for every row: values (sex=Female,Male) or a range of numbers,"
            " dates or ordered values (age=30..50); once per column"
        ),
    )
    command.add_argument(
        "--begins",
        type=names,
        default=(),
        metavar="TYPE,TYPE=CODE",
        help=(
            "a prompt on how pathways start: of treatments and types named here these come first,"
            " in order: SURGERY,SACT_REGIMEN"
        ),
    )
    command.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="COLUMN=VALUE:SHARE",
        help=(
            "shares of groups: sex=Female:50%%,Male:50%%; what is left goes to the other values in"
            " the model's proportions; sex,race=even draws every combination as often; repeatable"
        ),
    )
    command.add_argument(
        "--plan",
        type=file_text,
        metavar="FILE",
        help="a plan in YAML with where, begins and shares, as docs/plans.md describes it",
    )
