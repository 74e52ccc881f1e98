"""Uploads: what custodians handed over (`pipeline/cli/uploads.py`)."""

from __future__ import annotations

from pipeline.cli.arguments.command import Commands, Later, add_actions, add_command


def add(commands: Commands) -> None:
    uploads = add_command(
        commands,
        "uploads",
        "what custodians handed over: list, check, delete",
        Later("uploads", "show"),
    )
    actions = add_actions(uploads)
    add_command(
        actions, "list", "every upload with its state and day of deletion", Later("uploads", "show")
    )
    check = add_command(
        actions,
        "check",
        "check the structure of what has arrived, decrypted in memory",
        Later("uploads", "check"),
    )
    delete = add_command(
        actions,
        "delete",
        "delete an upload now, with all patients' rows that came from it",
        Later("uploads", "delete"),
    )
    for action in (check, delete):
        action.add_argument("upload_id", help="the upload's id, as `uploads list` shows it")
    add_command(
        actions,
        "delete-due",
        "delete every upload whose day has come, with all patients' rows that came from it",
        Later("uploads", "delete_due"),
    )
