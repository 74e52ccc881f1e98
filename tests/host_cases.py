"""Homes of several hosts that share a deployment: a database of their own in the suite's
PostgreSQL, bare repositories, and folders in the place of S3.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from ruamel.yaml import YAML

from pipeline.restricted.ingest.holdout import permanent_key
from pipeline.runs.programs import git

_NUMBERS = itertools.count(1)


@pytest.fixture
def database(postgres: str) -> str:
    """URL of an empty database, without a password."""
    return new_database(postgres)


def new_database(server: str) -> str:
    name = f"hosts_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return urlunsplit(urlsplit(server.replace(":@", "@"))._replace(path=f"/{name}"))


def shared_places(folder: Path, database: str) -> dict[str, object]:
    """A deployment of several hosts, as deployment.yaml says it, with all that it names made."""
    for zone in ("restricted", "released"):
        (folder / f"{zone}-remote").mkdir(parents=True)
        git("init", "-q", "--bare", "-b", "main", str(folder / f"{zone}.git"), cwd=folder)
    permanent_key(folder / "keys")
    return {
        "database": database,
        "stores": {zone: str(folder / f"{zone}.git") for zone in ("restricted", "released")},
        "remotes": {zone: str(folder / f"{zone}-remote") for zone in ("restricted", "released")},
        "checkpoints": str(folder / "checkpoints"),
        "keys": str(folder / "keys"),
    }


def deploy(home: Path, places: dict[str, object]) -> None:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "deployment.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(places, file)
