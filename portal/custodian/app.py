"""The custodian process: its pages, by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import Engine

from pipeline.catalog import Home
from pipeline.ledger import Ledger
from pipeline.services import airflow_server
from portal.custodian import approvals, desk, first, requests, runs
from portal.custodian.audit import routes as audit
from portal.custodian.bridge import Bridge
from portal.custodian.people import routes as people
from portal.custodian.tables import RESTRICTED
from portal.custodian.uploads import pages, transfer
from portal.custodian.uploads.daily import deleting_daily
from portal.shared.application import make_application
from portal.shared.database import open_database
from portal.shared.health import Health, is_database_well
from portal.shared.tables import EXCHANGE, IDENTITY

AIRFLOW_SECONDS = 2  # for its answer to whoever asks how this process is
ROUTERS = (
    desk.router,
    requests.router,
    runs.router,
    approvals.router,
    audit.router,
    people.router,
    transfer.router,
    pages.router,
)
NAV = (
    ("/requests", "Requests", ("custodian", "engineer", "auditor")),
    ("/approvals", "Approvals", ("custodian",)),
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
    RESTRICTED.create_all(engine)
    app = make_application(
        "custodian",
        home=home,
        engine=engine,
        exchange=exchange,
        folder=Path(__file__).parent,
        routers=ROUTERS,
        nav=NAV,
        uploads=transfer.PREFIX,
        health=_health(home, engine, exchange),
        lifespan=_at_work,
    )
    app.state.airflow = airflow_server.portal_account(home)
    app.state.bridge = Bridge(home, engine, exchange, app.state.airflow)
    return app


def _health(home: Home, engine: Engine, exchange: Engine) -> Health:
    """Staff can read the audit while Airflow is away."""
    airflow = airflow_server.portal_account(home, patience=AIRFLOW_SECONDS)
    return Health(
        "custodian",
        {
            "database": partial(is_database_well, engine),
            "exchange": partial(is_database_well, exchange),
            "ledger": partial(_is_ledger_readable, home),
        },
        {"airflow": airflow.is_healthy},
    )


def _is_ledger_readable(home: Home) -> bool:
    """Its chain included. Before the first charge there is none."""
    Ledger(home.ledger).entries()
    return True


@asynccontextmanager
async def _at_work(app: FastAPI) -> AsyncIterator[None]:
    """What works while the application serves: the bridge to Airflow, and deletion by date."""
    async with deleting_daily(app):
        bridge = asyncio.create_task(app.state.bridge.run())
        yield
        bridge.cancel()
        with suppress(asyncio.CancelledError):
            await bridge
