"""From a request to a run: a decision is noted here first, whole, and then shown in the public
database. What was decided is finished after a crash by `settle`, which may be done again and again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine, Row

from pipeline import portal_params
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from portal.custodian.populations import Wish, is_open_to_all, schema_of
from portal.custodian.tables import dispatches
from portal.shared import states
from portal.shared.accounts import plain_email
from portal.shared.database import now
from portal.shared.tables import requests

NUMBER = re.compile(r"[0-9a-f]{8}")
APPROVED, SENT, ENDED, VOID = "approved", "sent", "ended", "void"
BY_ITSELF = "the portal"  # approves draws from published models, where params.yaml lets it
KINDS = ("draw", "training")
FACTS = ("email", "kind", "dataset", "model_of", "rows", "epsilon", "plan")
RequestRow = Row[tuple[Any, ...]]


def wish_of(row: RequestRow) -> Wish:
    return Wish(str(row.kind), str(row.dataset), row.model_of, row.epsilon)


def digest(row: RequestRow) -> str:
    """Of what a custodian saw: that is approved, whatever the public database says since."""
    facts = [getattr(row, name) for name in (*FACTS, "purpose")]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def release_id_of(row: RequestRow) -> str:
    """The id of what comes of a request: the dataset's name and the request's own id."""
    return f"{str(row.dataset).lower().replace('_', '-')[:28].strip('-')}-{row.id}"


def approve(home: Home, engine: Engine, exchange: Engine, row: RequestRow, by: str) -> None:
    """Notes that a request is approved, and shows it. Raises Refusal for one's own request, and for
    one that was withdrawn or decided meanwhile.
    """
    _refuse_forged(home, row)
    if by == str(row.email):
        raise Refusal("this is your own request: somebody else must approve it")
    is_live = may_follow(home, row)
    values: Mapping[str, object] = {
        "id": row.id,
        **{name: getattr(row, name) for name in FACTS},
        "release_id": release_id_of(row),
        "approved_by": by,
        "approved_at": now(),
        "is_live": is_live,
        "step": APPROVED,
        "state": states.IN_PROGRESS,
        "state_at": now(),
    }
    with engine.begin() as c:
        before = c.execute(sa.select(dispatches).where(dispatches.c.id == row.id)).one_or_none()
        if before is None:
            c.execute(sa.insert(dispatches).values(**values))
        elif any(getattr(before, name) != getattr(row, name) for name in FACTS):
            raise Refusal("a request of this id was decided before, and asked for something else")
    if not settle(engine, exchange, str(row.id)):
        raise Refusal("this request was withdrawn or decided meanwhile: open it again")


def _refuse_forged(home: Home, row: RequestRow) -> None:
    """Raises Refusal for what our form never writes: somebody else wrote it into the public
    database.
    """
    if not NUMBER.fullmatch(str(row.id)):  # it names a run in Airflow and a folder
        raise Refusal("the id of this request is none that the portal gave")
    if plain_email(str(row.email)) != row.email:
        raise Refusal("the address of who asks is not as accounts have it")
    is_whole = row.kind in KINDS and row.dataset == schema_of(home, wish_of(row)).dataset
    if not is_whole:  # the dataset names the release
        raise Refusal("this request is none that the portal's form makes")


def may_follow(home: Home, row: RequestRow) -> bool:
    """Whether a request may be followed as it goes (docs/privacy.md)."""
    is_on = portal_params.load(home.params).live
    return is_on and is_open_to_all(home, schema_of(home, wish_of(row)))


def settle(engine: Engine, exchange: Engine, request: str) -> bool:
    """Shows an approval in the public database, and says whether it stands. One that came after a
    withdrawal is void.
    """
    with exchange.begin() as c:
        has_moved = states.move(c, request, states.IN_PROGRESS, now())
        state = c.execute(sa.select(requests.c.state).where(requests.c.id == request)).scalar()
    stands = has_moved or state not in (states.WITHDRAWN, states.DECLINED, None)
    if not stands:
        with engine.begin() as c:
            c.execute(
                sa.update(dispatches)
                .where(dispatches.c.id == request, dispatches.c.step == APPROVED)
                .values(step=VOID)
            )
    return stands
