"""What an administrator may do to an account: close it, open it again, unlock it."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from pipeline.refusal import Refusal
from portal.shared import accounts
from portal.shared.database import now
from portal.shared.tables import accounts as table

ADMINISTRATOR = "administrator"
Person = sa.Row[tuple[object, ...]]


def everybody(connection: Connection) -> Sequence[Person]:
    """All accounts of a database: id, email, name, organisation, role, created_at, is_closed,
    is_locked, by_organisation (it signs in there).
    """
    return connection.execute(
        sa.select(
            table.c.id,
            table.c.email,
            table.c.name,
            table.c.organisation,
            table.c.role,
            table.c.created_at,
            table.c.disabled.label("is_closed"),
            (sa.func.coalesce(table.c.locked_until, 0) > now()).label("is_locked"),
            table.c.password.is_(None).label("by_organisation"),
        ).order_by(table.c.role, table.c.email)
    ).all()


def close(connection: Connection, number: int) -> str:
    """Closes an account and ends its sessions; its address. Raises Refusal where there is none,
    and for the last open administrator.
    """
    email = _email(connection, number)
    administrators = sa.select(table.c.id).where(table.c.role == ADMINISTRATOR, ~table.c.disabled)
    # locked first where the database locks rows: of two who close each other, one is refused
    before = connection.scalars(administrators.with_for_update()).all()
    accounts.disable(connection, number)
    if number in before and not connection.scalars(administrators).all():
        raise Refusal("the last administrator stays: invite another one first")
    return email


def reopen(connection: Connection, number: int) -> str:
    """Opens a closed account; its address. Raises Refusal where there is none."""
    return _set(connection, number, disabled=False, failures=0, locked_until=None)


def unlock(connection: Connection, number: int) -> str:
    """Lets an account sign in again that wrong passwords locked; its address. Raises Refusal where
    there is none.
    """
    return _set(connection, number, failures=0, locked_until=None)


def _email(connection: Connection, number: int) -> str:
    email = connection.scalar(sa.select(table.c.email).where(table.c.id == number))
    if email is None:
        raise Refusal("there is no such account")
    return str(email)


def _set(connection: Connection, number: int, **values: object) -> str:
    email = _email(connection, number)
    connection.execute(sa.update(table).where(table.c.id == number).values(**values))
    return email
