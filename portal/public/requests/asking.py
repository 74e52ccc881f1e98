"""A request from the form to the database."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection
from starlette.datastructures import FormData

from pipeline.refusal import Refusal
from portal.public.requests import plan_form
from portal.public.requests.choices import TRAINING, Choice
from portal.shared.accounts import Account
from portal.shared.database import now
from portal.shared.states import ENDS, REQUESTED
from portal.shared.tables import requests

MOST_ROWS = 5_000_000
MOST_OPEN = 20  # requests of one person that no end was found for
LARGEST_EPSILON = 10.0
EPSILONS = (0.25, 0.5, 1.0, 2.0, 4.0)  # that the form offers
SHORTEST_PURPOSE, LONGEST_PURPOSE = 20, 4000  # characters


@dataclass(frozen=True)
class Draft:
    """What somebody asks for, checked."""

    choice: Choice
    rows: int
    plan: str
    purpose: str
    epsilon: float | None


def draft_of(form: FormData, choice: Choice) -> Draft:
    """What a form asks for. Raises Refusal for the first thing that cannot be."""
    rows = str(form.get("rows") or "").replace(",", "").strip()
    if not (rows.isascii() and rows.isdigit()) or not 1 <= int(rows) <= MOST_ROWS:
        raise Refusal(f"write how many synthetic patients: a whole number from 1 to {MOST_ROWS:,}")
    purpose = str(form.get("purpose") or "").strip()
    if not SHORTEST_PURPOSE <= len(purpose) <= LONGEST_PURPOSE:
        raise Refusal(
            f"say what the extract is for, in {SHORTEST_PURPOSE} to {LONGEST_PURPOSE:,} characters:"
            " the custodian decides by it"
        )
    epsilon = _epsilon(str(form.get("epsilon") or "")) if choice.kind == TRAINING else None
    plan = plan_form.as_text(plan_form.plan_in(form, choice.schema))
    return Draft(choice, int(rows), plan, purpose, epsilon)


def store(connection: Connection, account: Account, draft: Draft) -> str:
    """Notes the request; its id, 8 hexadecimal digits. Raises Refusal where the account has too
    many open ones.
    """
    is_open = sa.and_(requests.c.email == account.email, requests.c.state.not_in(ENDS))
    count = connection.execute(sa.select(sa.func.count()).where(is_open)).scalar_one()
    if count >= MOST_OPEN:
        raise Refusal(f"you have {count} open requests, and {MOST_OPEN} is the most there may be")
    number, at = secrets.token_hex(4), now()
    connection.execute(
        sa.insert(requests).values(
            id=number,
            created_at=at,
            email=account.email,
            name=account.name,
            organisation=account.organisation,
            kind=draft.choice.kind,
            dataset=draft.choice.dataset,
            model_of=draft.choice.model_of,
            rows=draft.rows,
            epsilon=draft.epsilon,
            plan=draft.plan,
            purpose=draft.purpose,
            state=REQUESTED,
            state_at=at,
        )
    )
    return number


def _epsilon(text: str) -> float:
    try:
        epsilon = float(text)
    except ValueError:
        epsilon = 0.0
    if not 0 < epsilon <= LARGEST_EPSILON:
        raise Refusal(f"choose epsilon: more than 0, at most {LARGEST_EPSILON:g}")
    return epsilon
