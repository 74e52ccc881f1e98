"""Puts tests/ on the path, so that test folders share the cases that lie here. Two processes run the suite, a file at a time."""
from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The Airflow session first: it is the longest file, so nothing must wait for it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("airflow") is None)
