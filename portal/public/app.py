"""The public process: its pages, by name."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from pipeline.catalog import Home
from portal.public import explore, front, requests
from portal.public.releases import routes as releases
from portal.public.uses import routes as uses
from portal.shared.application import make_application
from portal.shared.database import open_database
from portal.shared.health import Health, is_database_well
from portal.shared.tables import EXCHANGE, IDENTITY

ROUTERS = (front.router, releases.router, uses.router, explore.router, requests.router)
NAV = (
    ("/releases", "Extracts", ()),
    ("/uses", "Register of uses", ()),
    ("/requests", "My requests", ("researcher",)),
)


def make_app(home: Home | None = None) -> FastAPI:
    """The application on the released zone of a home (default: the one in use)."""
    home = home or Home.find()
    engine = open_database(home.portal_database, IDENTITY)
    EXCHANGE.create_all(engine)
    return make_application(
        "public",
        home=home,
        engine=engine,
        exchange=engine,
        folder=Path(__file__).parent,
        routers=ROUTERS,
        nav=NAV,
        health=Health(
            "public",
            {
                "database": partial(is_database_well, engine),
                "releases": partial(_are_releases_readable, home),
            },
            {},
        ),
    )


def _are_releases_readable(home: Home) -> bool:
    """Before the first release there is no folder."""
    return not home.published.exists() or os.access(home.published, os.R_OK | os.X_OK)
