"""The portal's databases where they are PostgreSQL: dumped by its own program. Where they are files
they are copied with the state.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from pipeline import environment
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.upkeep.copies import Copies


def add(home: Home, copies: Copies) -> None:
    """Adds `portal-public.sql` and `portal-custodian.sql`, each where its database has a URL.

    Raises Refusal where one cannot be dumped.
    """
    for name, where in _urls(home):
        dump = dump_name(name)
        if fault := _dump(where, copies.folder / dump):
            raise Refusal(
                f"the {name} portal's database cannot be copied ({fault}): install PostgreSQL's"
                " client programs, of the server's version; or save it otherwise, and leave it out"
                " with --without-portal. No backup was made"
            )
        copies.note(dump, time.time_ns())


def dump_name(name: str) -> str:
    return f"portal-{name}.sql"


def _urls(home: Home) -> Iterator[tuple[str, str]]:
    for name, where in (("public", home.portal_database), ("custodian", home.custodian_database)):
        if "://" in where:
            yield name, where


def _dump(where: str, file: Path) -> str:
    """What went wrong; empty where nothing did. The password goes by the environment: other people
    of the machine see a command's arguments.
    """
    url = sa.make_url(where)
    address = url.set(drivername="postgresql", password=None).render_as_string()
    variables = environment.for_stages()
    if url.password is not None:
        variables |= {"PGPASSWORD": str(url.password)}
    try:
        result = subprocess.run(
            ["pg_dump", "--no-owner", "--file", str(file), "--dbname", address],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return "there is no pg_dump on the path"
    if result.returncode == 0:
        return ""
    return (result.stderr.strip().splitlines() or ["nothing said"])[-1]
