"""The audit log: who did what, when, from where."""

from __future__ import annotations

import sqlalchemy as sa
from starlette.requests import Request

from portal.shared.accounts import Account
from portal.shared.database import connection, now
from portal.shared.tables import actions


def record(request: Request, account: Account | None, action: str, subject: str = "") -> None:
    """Notes an action. `action`: a past tense such as "downloaded"; `subject`: the id of what it
    was done to. Never a value that was typed or read.
    """
    with connection(request) as c:
        c.execute(
            sa.insert(actions).values(
                at=now(),
                email=account.email if account else "",
                role=account.role if account else "",
                address=(request.client.host if request.client else "")[:64],
                action=action[:60],
                subject=subject[:200],
            )
        )
