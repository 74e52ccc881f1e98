"""Backups and retention (`pipeline/cli/upkeep.py`)."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.cli.arguments.command import Commands, Later, add_command


def add(commands: Commands) -> None:
    _add_backup(commands)
    _add_restore(commands)
    tidy = add_command(
        commands,
        "tidy",
        "remove what params.yaml keeps for a time only (`retention`), and list what remains",
        Later("upkeep", "tidy_up"),
    )
    tidy.add_argument(
        "--dry-run", action="store_true", help="remove nothing; say what would go, and how big"
    )


def _add_backup(commands: Commands) -> None:
    backup = add_command(
        commands,
        "backup",
        "copy all that cannot be made again into a new folder, while runs go on; restricted",
        Later("upkeep", "make_backup"),
    )
    backup.add_argument(
        "place",
        type=Path,
        nargs="?",
        help="folder to write, new or empty, or with --to a new file; with --check: a backup",
    )
    backup.add_argument(
        "--noted",
        action="store_true",
        help="make nothing; note that stores, buckets, database and keys of several hosts were just"
        " saved by their own means (docs/several_hosts.md), so that the watch tells when it is old",
    )
    backup.add_argument(
        "--check", action="store_true", help="make nothing; check the backup that lies there"
    )
    backup.add_argument(
        "--to",
        metavar="KEY",
        help="write one file, encrypted to this public key of age (age1...)",
    )
    _add_identity(backup)
    backup.add_argument(
        "--with-mlflow", action="store_true", help="with the mirror in MLflow (mlruns/)"
    )
    backup.add_argument(
        "--without-portal",
        action="store_true",
        help="without the portal's databases where they are PostgreSQL (else by pg_dump)",
    )


def _add_restore(commands: Commands) -> None:
    restore = add_command(
        commands,
        "restore",
        "put a backup back into an empty home, if its ledger knows of all that was published",
        Later("upkeep", "restore_backup"),
    )
    restore.add_argument("place", type=Path, help="the backup: its folder, or its encrypted file")
    _add_identity(restore)
    since = restore.add_mutually_exclusive_group()
    since.add_argument(
        "--released",
        type=Path,
        metavar="PLACE",
        help=(
            "a clone of the released version store, or a folder of extracts, as published last: the"
            " ledger must know all of it"
        ),
    )
    since.add_argument(
        "--nothing-published-since",
        action="store_true",
        help="state that nothing was published after the backup was made; noted for auditors",
    )
    refusals = restore.add_mutually_exclusive_group()
    refusals.add_argument(
        "--refused-since",
        action="append",
        default=[],
        metavar="RELEASE",
        help="a run that was refused, declined or abandoned after the backup was made, which is"
        " entered again; POPULATION/RELEASE where it was charged after it, too; once for each",
    )
    refusals.add_argument(
        "--nothing-refused-since",
        action="store_true",
        help="state that no run was refused, declined or abandoned after the backup was made; noted"
        " for auditors",
    )
    restore.add_argument(
        "--closed",
        action="store_true",
        help="with --released: restore an older ledger all the same, to which nothing is charged"
        " again",
    )


def _add_identity(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--identity", type=Path, metavar="FILE", help="secret key of age, for an encrypted backup"
    )
