"""Accounts: who may sign in, with which role. Passwords are kept as argon2id hashes (RFC 9106).

An account comes from an invitation alone. After FAILURES wrong passwords it is locked for
LOCK_SECONDS; an unknown address takes as long as a known one and gets the same words.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from functools import cache

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection

from pipeline.refusal import Refusal
from portal.shared.database import now
from portal.shared.tables import EMAIL, accounts, invitations, sessions

PUBLIC_ROLES = ("researcher",)
STAFF_ROLES = ("custodian", "engineer", "auditor", "administrator")
ROLES = (*PUBLIC_ROLES, *STAFF_ROLES)
FAILURES = 5
LOCK_SECONDS = 15 * 60
INVITATION_SECONDS = 7 * 24 * 3600
SHORTEST, LONGEST = 12, 200  # characters of a password
ADDRESS = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+")
HASHER = PasswordHasher()


@dataclass(frozen=True)
class Account:
    """Who is signed in."""

    id: int
    email: str
    name: str
    role: str
    organisation: str


def digest(token: str) -> str:
    """What the database keeps of a token: whoever reads the database cannot use it."""
    return hashlib.sha256(token.encode()).hexdigest()


def plain_email(text: str) -> str:
    """An address as it is compared: without blanks around it, in lower case. Raises Refusal for
    what is none.
    """
    email = text.strip().lower()
    if len(email) > EMAIL or not ADDRESS.fullmatch(email):
        raise Refusal(f"{text!r} is no e-mail address: write it as name@organisation")
    return email


def sign_in(connection: Connection, email: str, password: str) -> Account | None:
    """The account of this address and password; None where they do not belong together, and the
    failure is counted.
    """
    row = connection.execute(
        sa.select(accounts).where(accounts.c.email == email.strip().lower())
    ).one_or_none()
    fits = _fits(row.password if row is not None and row.password else _nobody(), password)
    if row is None or row.disabled or (row.locked_until or 0) > now() or not row.password:
        return None
    if not fits:
        # counted by the database: of many tries at once none is lost
        _change(connection, row.id, failures=accounts.c.failures + 1)
        connection.execute(
            sa.update(accounts)
            .where(accounts.c.id == row.id, accounts.c.failures >= FAILURES)
            .values(failures=0, locked_until=now() + LOCK_SECONDS)
        )
        return None
    _change(connection, row.id, failures=0, locked_until=None)
    if HASHER.check_needs_rehash(row.password):
        _change(connection, row.id, password=HASHER.hash(password))
    return as_account(row)


def as_account(row: sa.Row[tuple[object, ...]]) -> Account:
    """The account in a row of the table `accounts`."""
    return Account(row.id, row.email, row.name, row.role, row.organisation)


def by_id(connection: Connection, number: int) -> Account | None:
    """The open account of this number."""
    row = connection.execute(
        sa.select(accounts).where(accounts.c.id == number, ~accounts.c.disabled)
    ).one_or_none()
    return None if row is None else as_account(row)


def by_email(connection: Connection, email: str) -> Account | None:
    """The open account of this address."""
    row = connection.execute(
        sa.select(accounts).where(accounts.c.email == email, ~accounts.c.disabled)
    ).one_or_none()
    return None if row is None else as_account(row)


def invite(connection: Connection, email: str, role: str, by: str) -> str:
    """The token of an invitation, for the link that the invited person opens within a week. A
    former unused one to the same address no longer works. Raises Refusal where there is an account.
    """
    email = plain_email(email)
    if connection.execute(sa.select(accounts.c.id).where(accounts.c.email == email)).first():
        raise Refusal(f"{email} has an account already")
    connection.execute(
        sa.delete(invitations).where(invitations.c.email == email, invitations.c.used_at.is_(None))
    )
    token = secrets.token_urlsafe(32)
    connection.execute(
        sa.insert(invitations).values(
            token=digest(token),
            email=email,
            role=role,
            invited_by=by,
            expires_at=now() + INVITATION_SECONDS,
        )
    )
    return token


def open_invitation(connection: Connection, token: str) -> sa.Row[tuple[object, ...]] | None:
    """The unused invitation with this token, while it holds."""
    return connection.execute(
        sa.select(invitations).where(
            invitations.c.token == digest(token),
            invitations.c.used_at.is_(None),
            invitations.c.expires_at > now(),
        )
    ).one_or_none()


def accept(
    connection: Connection, token: str, *, name: str, organisation: str, password: str
) -> Account:
    """The account that the invitation offers. Raises Refusal for a used or old invitation, a short
    password, or no name.
    """
    invitation = open_invitation(connection, token)
    if invitation is None:
        raise Refusal("this invitation was used or is older than a week: ask for a new one")
    account = create(
        connection,
        email=str(invitation.email),
        name=name,
        organisation=organisation,
        role=str(invitation.role),
        password=password,
    )
    connection.execute(
        sa.update(invitations).where(invitations.c.token == digest(token)).values(used_at=now())
    )
    return account


def create(
    connection: Connection,
    *,
    email: str,
    name: str,
    organisation: str,
    role: str,
    password: str | None,
    subject: str | None = None,
) -> Account:
    """A new account. `password` None: it signs in through its organisation (`subject`)."""
    if not 1 <= len(name.strip()) <= 100:
        raise Refusal("write your name, with at most 100 characters")
    if len(organisation) > 200:
        raise Refusal("the organisation has more than 200 characters")
    if password is not None:
        refuse_password(password)
    values = {
        "email": plain_email(email),
        "name": name.strip(),
        "organisation": organisation.strip(),
        "role": role,
    }
    number = connection.execute(
        sa.insert(accounts)
        .values(
            **values,
            password=None if password is None else HASHER.hash(password),
            subject=subject,
            created_at=now(),
        )
        .returning(accounts.c.id)
    ).scalar_one()
    return Account(id=number, **values)


def refuse_password(password: str) -> None:
    """Raises Refusal for a password that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refusal(f"a password has {SHORTEST} to {LONGEST} characters")


def set_password(connection: Connection, account: Account, password: str) -> None:
    """Sets a new password and ends every session of the account."""
    refuse_password(password)
    _change(connection, account.id, password=HASHER.hash(password))
    connection.execute(sa.delete(sessions).where(sessions.c.account == account.id))


def disable(connection: Connection, number: int) -> None:
    """Closes an account and ends its sessions."""
    _change(connection, number, disabled=True)
    connection.execute(sa.delete(sessions).where(sessions.c.account == number))


def _change(connection: Connection, number: int, **values: object) -> None:
    connection.execute(sa.update(accounts).where(accounts.c.id == number).values(**values))


def _fits(hashed: str, password: str) -> bool:
    try:
        return HASHER.verify(hashed, password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobody() -> str:
    """The hash of a password that nobody knows: an unknown address takes as long as a known one."""
    return HASHER.hash(secrets.token_urlsafe(32))
