"""The custodian's sources, and where everything stands (`pipeline/cli/sources.py`)."""

from __future__ import annotations

from pipeline.cli.arguments.command import (
    Commands,
    Later,
    add_actions,
    add_command,
    add_dataset,
    add_extract_date,
)


def add(commands: Commands) -> None:
    sources = add_command(
        commands,
        "sources",
        "declare sources, or show what is declared",
        Later("sources", "show_sources"),
    )
    actions = add_actions(sources)
    add_command(
        actions, "show", "every declared source with its label", Later("sources", "show_sources")
    )
    declaration = add_command(
        actions, "set", "declare the source of a dataset", Later("sources", "set_source")
    )
    add_dataset(declaration)
    declaration.add_argument(
        "--path",
        required=True,
        help="folder or file of the source tables, or postgresql://[user@]host[:port]/database",
    )
    declaration.add_argument(
        "--label", required=True, help="public name of this state of the source, chosen by a person"
    )
    add_extract_date(declaration)
    account = add_command(
        commands,
        "account",
        "what ingest kept, repaired and dropped in a run, with reasons; restricted",
        Later("runs", "account"),
    )
    account.add_argument("release_id", help="the run's release id")
    add_command(
        commands,
        "status",
        "services, sources, populations and releases at a glance",
        Later("sources", "status"),
    )
    add_command(
        commands,
        "clean-check",
        "exit code 2 where the ledger holds a population that is neither simulated nor public",
        Later("sources", "clean_check"),
    )
