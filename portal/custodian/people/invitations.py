"""Invitations, each in the database of the process that the account is for."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from pipeline.refusal import Refusal
from pipeline.services.portal_server import custodian_address, portal_address
from portal.shared import accounts
from portal.shared.accounts import ROLES
from portal.shared.database import now
from portal.shared.tables import invitations


def is_public(role: str) -> bool:
    """Whether accounts of a role live in the public database. Raises Refusal for no role."""
    if role not in ROLES:
        raise Refusal(f"{role!r} is no role: choose one of {', '.join(ROLES)}")
    return role in accounts.PUBLIC_ROLES


def invite(connection: Connection, email: str, role: str, by: str) -> str:
    """The link that makes an account, to be handed over once: the database keeps its hash.
    `connection`: to the database that `is_public` says.

    Raises Refusal for no address, and where there is an account.
    """
    base = portal_address() if is_public(role) else custodian_address()
    return f"{base}/invitation/{accounts.invite(connection, email, role, by)}"


def waiting(connection: Connection) -> Sequence[sa.Row[tuple[object, ...]]]:
    """The invitations that nobody took up yet and that still hold."""
    return connection.execute(
        sa.select(invitations)
        .where(invitations.c.used_at.is_(None), invitations.c.expires_at > now())
        .order_by(invitations.c.email)
    ).all()


def withdraw(connection: Connection, email: str) -> None:
    """Removes an address's invitation. Raises Refusal where it has none."""
    gone = connection.execute(
        sa.delete(invitations).where(invitations.c.email == email, invitations.c.used_at.is_(None))
    )
    if not gone.rowcount:
        raise Refusal("there is no such invitation")
