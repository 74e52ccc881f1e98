"""The portal's two processes: how they are started, and their addresses."""

from __future__ import annotations

import sys

from pipeline import environment
from pipeline.catalog import Home
from pipeline.services.processes import Service


def portal_address() -> str:
    """Of the public portal: for researchers."""
    return f"http://localhost:{environment.portal_port()}"


def custodian_address() -> str:
    """Of the custodian's portal: for staff."""
    return f"http://localhost:{environment.custodian_port()}"


def public_services(home: Home) -> tuple[Service, ...]:
    """The public process. Its environment holds no ledger's address and no other secret."""
    variables = environment.for_public_portal(home.root)
    return (_service("portal-public", variables, environment.portal_port()),)


def custodian_services(home: Home) -> tuple[Service, ...]:
    """The custodian process."""
    variables = environment.for_services(home.root)
    return (_service("portal-custodian", variables, environment.custodian_port()),)


def _service(name: str, variables: dict[str, str], port: int) -> Service:
    command = (sys.executable, "-m", "portal", name.removeprefix("portal-"))
    return Service(name=name, command=command, environment=variables, port=port)
