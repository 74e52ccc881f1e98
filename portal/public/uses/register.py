"""The register of uses, in the database."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from pipeline.refusal import Refusal
from portal.shared.accounts import Account
from portal.shared.database import now
from portal.shared.tables import uses

SHORTEST, LONGEST = 10, 1000  # characters of a purpose
MOST = 20  # entries of one person for one release
Use = sa.Row[tuple[object, ...]]


def uses_of(connection: Connection, release_id: str | None = None) -> Sequence[Use]:
    """The entries, of one release or all, the newest first: id, at, email, name (empty: not to be
    shown), organisation, release_id, purpose. No page shows the address.
    """
    query = sa.select(uses).order_by(uses.c.at.desc(), uses.c.id.desc())
    if release_id is not None:
        query = query.where(uses.c.release_id == release_id)
    return connection.execute(query).all()


def enter(
    connection: Connection, account: Account, *, release_id: str, purpose: str, is_named: bool
) -> None:
    """Writes an entry. Raises Refusal for a purpose that says nothing, an account without an
    organisation that would not be named either, and for the one entry too many.
    """
    purpose = purpose.strip()
    if not SHORTEST <= len(purpose) <= LONGEST:
        raise Refusal(f"write the purpose in {SHORTEST} to {LONGEST} characters")
    if not is_named and not account.organisation:
        raise Refusal("your account names no organisation: agree that your name is shown")
    own = (uses.c.email == account.email, uses.c.release_id == release_id)
    if connection.scalars(sa.select(sa.func.count()).where(*own)).one() >= MOST:
        raise Refusal(f"you have {MOST} entries for this release: remove one first")
    connection.execute(
        sa.insert(uses).values(
            at=now(),
            email=account.email,
            name=account.name if is_named else "",
            organisation=account.organisation,
            release_id=release_id,
            purpose=purpose,
        )
    )


def remove(connection: Connection, account: Account, number: int) -> str:
    """Removes an entry of this account; the release that it was about. Raises Refusal where there
    is no such entry, or it is somebody else's.
    """
    own = (uses.c.id == number, uses.c.email == account.email)
    release_id = connection.scalar(sa.delete(uses).where(*own).returning(uses.c.release_id))
    if release_id is None:
        raise Refusal("there is no such entry of yours")
    return str(release_id)
