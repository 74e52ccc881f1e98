"""Where a ledger may lie: a file, and a database of a real PostgreSQL that the tests start
themselves (from its package, nothing to install).
"""

from __future__ import annotations

import itertools
from pathlib import Path

import psycopg
import pytest

_NUMBERS = itertools.count(1)


@pytest.fixture
def database(postgres: str) -> str:
    """URL of an empty schema: as good as an empty database, and made at once."""
    name = f"ledger_{next(_NUMBERS)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{postgres}&options=-csearch_path%3D{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty ledger may be made: each test that asks runs on both."""
    if request.param == "sqlite":
        return str(tmp_path / "state" / "ledger.db")
    url: str = request.getfixturevalue("database")
    return url
