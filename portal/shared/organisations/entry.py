"""Which account a person of an organisation gets."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from pipeline.refusal import Refusal
from portal.shared import accounts
from portal.shared.accounts import Account
from portal.shared.database import now
from portal.shared.organisations.provider import Person
from portal.shared.organisations.settings import Organisation
from portal.shared.tables import accounts as table
from portal.shared.tables import invitations


def account_of(connection: Connection, organisation: Organisation, person: Person) -> Account:
    """The account of this person, made at the first sign-in: from an invitation to the same,
    verified address, or as a researcher where the organisation is open.

    Raises Refusal for everybody else: an address that is not verified or not of the organisation's
    domains, a closed account, an address whose account has a password.
    """
    row = connection.execute(
        sa.select(table).where(table.c.subject == person.subject)
    ).one_or_none()
    if row is not None:
        if row.disabled:
            raise Refusal("this account is closed: ask the administrator")
        return accounts.as_account(row)
    email = _believed(organisation, person)
    if connection.execute(sa.select(table.c.id).where(table.c.email == email)).first():
        # not joined by itself: whoever runs the organisation's sign-in could enter it
        raise Refusal("this address has an account already: sign in as you did before")
    return accounts.create(
        connection,
        email=email,
        name=person.name.strip()[:100] or email.partition("@")[0][:100],
        organisation=organisation.name,
        role=_role(connection, organisation, email),
        password=None,
        subject=person.subject,
    )


def _believed(organisation: Organisation, person: Person) -> str:
    if not person.email or not person.is_verified:
        raise Refusal(f"{organisation.name} does not say that your e-mail address is verified")
    email = accounts.plain_email(person.email)
    if email.rpartition("@")[2] not in organisation.domains:
        raise Refusal(f"your e-mail address is of none of the domains of {organisation.name}")
    return email


def _role(connection: Connection, organisation: Organisation, email: str) -> str:
    """What the invitation says, which is used up."""
    role = connection.scalar(
        sa.update(invitations)
        .where(
            invitations.c.email == email,
            invitations.c.used_at.is_(None),
            invitations.c.expires_at > now(),
        )
        .values(used_at=now())
        .returning(invitations.c.role)
    )
    if role is None and not organisation.is_open:
        raise Refusal("nobody has invited this address yet: ask the administrator")
    return str(role or accounts.PUBLIC_ROLES[0])
