"""`python -m portal public` and `python -m portal custodian`: one process of the portal each. A
person types `make up`, which starts both.
"""

from __future__ import annotations

import argparse
import importlib

import uvicorn

from pipeline import environment

PROCESSES = ("public", "custodian")


def main() -> None:
    """Serves one of the two, on this machine's own address only."""
    parser = argparse.ArgumentParser(prog="python -m portal", description=__doc__)
    parser.add_argument("process", choices=PROCESSES, help="which of the two processes to serve")
    name = parser.parse_args().process
    port = environment.portal_port() if name == "public" else environment.custodian_port()
    # imported by its name: the public process never loads the other one's code
    app = importlib.import_module(f"portal.{name}.app").make_app()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", server_header=False)


if __name__ == "__main__":
    main()
