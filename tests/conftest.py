"""Puts tests/ on the path, so that test folders share the cases that lie here. Two processes run
the suite, a file at a time.
"""

from __future__ import annotations

import os

import pytest

# no test may write to a ledger that the shell around it uses
os.environ.pop("SYNDASERA_LEDGER", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The Airflow session first: it is the longest file, so nothing must wait for it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("airflow") is None)
