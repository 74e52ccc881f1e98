"""The states of a request: what a researcher is told, and which state may follow which.

A state is moved in one statement that names the states before it: of two processes that move at
once, one finds nothing to move.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy import Connection

from portal.shared.tables import requests

REQUESTED, IN_PROGRESS, AWAITING = "requested", "in progress", "awaiting approval"
PUBLISHED, STOPPED = "published", "stopped"
DECLINED, WITHDRAWN = "declined", "withdrawn"

# state to the states before it; one that stands before itself may change its stage
BEFORE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        IN_PROGRESS: (REQUESTED, IN_PROGRESS, AWAITING),
        AWAITING: (IN_PROGRESS, AWAITING),
        PUBLISHED: (IN_PROGRESS, AWAITING),
        STOPPED: (IN_PROGRESS, AWAITING),
        DECLINED: (REQUESTED,),
        WITHDRAWN: (REQUESTED,),
    }
)
ENDS = (PUBLISHED, STOPPED, DECLINED, WITHDRAWN)
MEANING: Mapping[str, str] = MappingProxyType(
    {
        REQUESTED: "A custodian reads it next. Nothing is spent yet; you can still withdraw it.",
        IN_PROGRESS: "A custodian said yes, and it is being made.",
        AWAITING: "It is made. A person decides whether it may be published.",
        PUBLISHED: "It is among the extracts.",
        STOPPED: "Nothing came of it. What stopped it stays with the custodian: ask by a message.",
        DECLINED: "The custodian said no before anything was spent. You are welcome to ask again.",
        WITHDRAWN: "You took it back before anything was spent.",
    }
)
TAGS: Mapping[str, str] = MappingProxyType(
    {PUBLISHED: "good", STOPPED: "bad", AWAITING: "warn", DECLINED: "warn"}
)


def move(
    connection: Connection,
    request: str,
    to: str,
    at: int,
    *,
    stage: str | None = None,
    release_id: str | None = None,
) -> bool:
    """Moves a request to a state, whose time is `at`, and says whether it moved: not where it is
    there already, with this stage, nor where its state does not lead there.
    """
    values: dict[str, object] = {"state": to, "stage": stage}
    if release_id is not None:
        values["release_id"] = release_id
    is_new = sa.or_(requests.c.state != to, requests.c.stage.is_distinct_from(stage))
    moved = connection.execute(
        sa.update(requests)
        .where(requests.c.id == request, requests.c.state.in_(BEFORE[to]), is_new)
        .values(
            **values,
            state_at=sa.case((requests.c.state == to, requests.c.state_at), else_=at),
        )
    )
    return moved.rowcount == 1
