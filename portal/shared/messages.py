"""Messages between a researcher and the custodians: they stay with the request."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from pipeline.refusal import Refusal
from portal.shared.accounts import Account
from portal.shared.database import now
from portal.shared.tables import messages

LONGEST = 4000  # characters of a message
MOST = 200  # messages of a request


def write(connection: Connection, request: str, account: Account, text: str) -> None:
    """Adds a message. Raises Refusal for an empty or a long one, and where there are too many."""
    text = text.strip()
    if not 1 <= len(text) <= LONGEST:
        raise Refusal(f"a message has 1 to {LONGEST:,} characters")
    count = sa.select(sa.func.count()).where(messages.c.request == request)
    if connection.execute(count).scalar_one() >= MOST:
        raise Refusal(f"a request has at most {MOST} messages: write an e-mail instead")
    connection.execute(
        sa.insert(messages).values(
            request=request, at=now(), email=account.email, role=account.role, text=text
        )
    )


def of(connection: Connection, request: str) -> Sequence[Row[tuple[object, ...]]]:
    """The messages of a request, the oldest first."""
    return connection.execute(
        sa.select(messages).where(messages.c.request == request).order_by(messages.c.id)
    ).all()
