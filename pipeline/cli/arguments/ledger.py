"""The privacy ledger (`pipeline/cli/ledger.py`): what was spent on whom, what a release would
cost.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.cli.arguments.command import (
    Commands,
    Later,
    add_actions,
    add_cohorts,
    add_command,
    add_dataset,
    add_extract_date,
    add_reason,
    number_or_none,
)
from pipeline.options import number


def add(commands: Commands) -> None:
    ledger = add_command(
        commands,
        "ledger",
        "the privacy ledger: what was spent on whom, what a release would cost",
        Later("ledger", "show"),
    )
    ledger.set_defaults(population=None)
    actions = add_actions(ledger)
    _add_reading(actions)
    _add_writing(actions)


def _add_reading(actions: Commands) -> None:
    show = add_command(
        actions,
        "show",
        "balance and entries of every population, or of one",
        Later("ledger", "show"),
    )
    show.add_argument("population", nargs="?", help="name of a population")
    quote = add_command(
        actions,
        "quote",
        "what a release would cost, and how many like it fit; reads no row, records nothing",
        Later("ledger", "quote"),
    )
    add_dataset(quote)
    quote.add_argument(
        "--epsilon", type=number_or_none, help="privacy loss of the release; default: params.yaml"
    )
    add_cohorts(quote, "whose rows it would open")
    add_extract_date(quote, "; default: the declared one")
    add_command(
        actions,
        "verify",
        "check the chain, and that it holds every chain head noted on cards, in runs and in MLflow",
        Later("ledger", "verify"),
    )
    export = add_command(
        actions, "export", "every entry as JSON; restricted", Later("ledger", "export")
    )
    export.add_argument("--out", type=Path, help="a file to write; default: standard output")


def _add_writing(actions: Commands) -> None:
    opening = add_command(
        actions,
        "open",
        "open the population that a dataset declares",
        Later("ledger", "open_population"),
    )
    add_dataset(opening)
    add_reason(opening)
    opening.add_argument(
        "--disjoint-from",
        action="append",
        default=[],
        metavar="POPULATION",
        help=(
            "a population proved to hold none of these people; the reason is the proof; may be"
            " repeated"
        ),
    )
    increase = add_command(
        actions,
        "raise",
        "a larger budget for a population, up to its ceiling: a weaker statement about its people",
        Later("ledger", "raise_budget"),
    )
    increase.add_argument("population", help="name of a population")
    increase.add_argument(
        "--epsilon", type=number, required=True, help="the new budget for its whole life"
    )
    add_reason(increase)
    abandonment = add_command(
        actions,
        "abandon",
        "record that a charged release will not appear; it stays charged",
        Later("ledger", "abandon"),
    )
    abandonment.add_argument("release", help="release id")
    add_reason(abandonment)
    move = add_command(
        actions,
        "move",
        "take the ledger from its file to a database of PostgreSQL, for several hosts",
        Later("ledger", "move"),
    )
    move.add_argument(
        "url", help="postgresql://USER@HOST:PORT/DATABASE; a password may be left to PGPASSFILE"
    )
