"""The custodian process: its pages, by name."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from pipeline.catalog import Home
from portal.custodian import desk, first
from portal.custodian.audit import routes as audit
from portal.custodian.people import routes as people
from portal.custodian.uploads import pages, transfer
from portal.custodian.uploads.daily import deleting_daily
from portal.shared.application import make_application
from portal.shared.database import open_database
from portal.shared.tables import EXCHANGE, IDENTITY

ROUTERS = (desk.router, audit.router, people.router, transfer.router, pages.router)
NAV = (
    ("/requests", "Requests", ("custodian", "engineer", "auditor")),
    ("/uploads", "Data", ("custodian",)),
    ("/runs", "Runs", ("custodian", "engineer")),
    ("/audit", "Audit", ("auditor", "custodian")),
    ("/people", "People", ("administrator",)),
)


def make_app(home: Home | None = None) -> FastAPI:
    """The application of staff on a home (default: the one in use)."""
    home = home or Home.find()
    engine = open_database(home.custodian_database, IDENTITY)
    first.ensure_administrator(engine, home)
    exchange = open_database(home.portal_database, IDENTITY)
    EXCHANGE.create_all(exchange)
    return make_application(
        "custodian",
        home=home,
        engine=engine,
        exchange=exchange,
        folder=Path(__file__).parent,
        routers=ROUTERS,
        nav=NAV,
        uploads=transfer.PREFIX,
        lifespan=deleting_daily,
    )
