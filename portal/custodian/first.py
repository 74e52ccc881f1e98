"""The first account: an administrator, so that somebody can invite the others."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Engine

from pipeline.catalog import Home
from pipeline.services.processes import secret
from portal.shared import accounts
from portal.shared.tables import accounts as table

EMAIL = "admin@localhost"


def ensure_administrator(engine: Engine, home: Home) -> None:
    """Makes the administrator's account where there is none at all. `make up` prints its password,
    which is drawn once and kept with the other secrets of the home.
    """
    with engine.begin() as c:
        if c.execute(sa.select(table.c.id).limit(1)).first() is None:
            accounts.create(
                c,
                email=EMAIL,
                name="Administrator",
                organisation="",
                role="administrator",
                password=secret(home, "portal_password"),
            )
