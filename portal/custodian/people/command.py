"""`python -m portal invite`: an invitation from the command line, by whoever runs the home."""

from __future__ import annotations

import getpass
import sys

from pipeline.catalog import Home
from portal.custodian.people import invitations
from portal.shared.database import open_database
from portal.shared.tables import IDENTITY


def invite(email: str, role: str) -> None:
    """Writes the link to standard output. Raises Refusal as `invitations.invite` does."""
    home = Home.find()
    is_public = invitations.is_public(role)
    engine = open_database(home.portal_database if is_public else home.custodian_database, IDENTITY)
    with engine.begin() as connection:
        link = invitations.invite(connection, email, role, f"{getpass.getuser()} (command line)")
    engine.dispose()
    sys.stdout.write(f"{link}\nWhoever opens it within a week makes the account of {email}.\n")
