"""`python -m portal public` and `python -m portal custodian`: one process of the portal each. A
person types `make up`, which starts both. `python -m portal invite` makes an account's link.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys

import uvicorn
from fastapi import FastAPI

from pipeline import environment, files, portal_params
from pipeline.catalog import Home
from pipeline.portal_params import LOCAL_ADDRESS, PortalParams
from pipeline.refusal import Refusal
from portal.shared.accounts import ROLES
from portal.shared.limits import HttpsOnly

PROCESSES = {
    "public": "serves the public process",
    "custodian": "serves the custodian process",
}


def main() -> int:
    """Runs one of the commands; 2 for a stated reason to stop."""
    files.private_umask()
    environment.no_core_dump()
    options = _parser().parse_args()
    try:
        if options.command == "invite":
            # imported by its name, as below: the public process never loads the other one's code
            command = importlib.import_module("portal.custodian.people.command")
            command.invite(options.email, options.role)
        else:
            _serve(options.command)
    except Refusal as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m portal", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in PROCESSES.items():
        commands.add_parser(name, help=words)
    invite = commands.add_parser("invite", help="prints the link that makes an account")
    invite.add_argument("email", metavar="EMAIL", help="the address of the person")
    invite.add_argument(
        "--role",
        choices=ROLES,
        required=True,
        help="what the person may do",
    )
    return parser


def _serve(name: str) -> None:
    """One of the two processes, on this machine's own address unless params.yaml names another."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    for ours in ("portal", "pipeline"):  # notices without a mail server, what the bridge met
        logging.getLogger(ours).setLevel(logging.INFO)
    port = environment.portal_port() if name == "public" else environment.custodian_port()
    portal = portal_params.load(Home.find().params)
    app = importlib.import_module(f"portal.{name}.app").make_app()
    uvicorn.Server(settings(app, port, portal)).run()


def settings(app: FastAPI, port: int, portal: PortalParams | None = None) -> uvicorn.Config:
    """How an application is served. What uvicorn logs of an unexpected error is left out: its
    message may quote a value, and the application has noted the error's kind and place.

    Who called, and whether by https, a proxy may say that `portal.proxies` names, and nobody else.
    """
    portal = portal or PortalParams()
    config = uvicorn.Config(
        HttpsOnly(app) if portal.proxies and portal.certificate is None else app,
        host=portal.listen,
        port=port,
        log_level="warning",
        server_header=False,
        ssl_certfile=portal.certificate,
        ssl_keyfile=portal.certificate_key,
        forwarded_allow_ips=list(portal.proxies) or LOCAL_ADDRESS,
    )
    logging.getLogger("uvicorn.error").addFilter(_without_errors)
    return config


def _without_errors(record: logging.LogRecord) -> bool:
    return record.exc_info is None


if __name__ == "__main__":
    sys.exit(main())
