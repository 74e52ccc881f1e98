"""Puts tests/ on the path, so that test folders share the cases that lie here. Two processes run
the suite, a file at a time.
"""

from __future__ import annotations

import os

import pytest

# no test may write to a ledger that the shell around it uses
os.environ.pop("SYNDASERA_LEDGER", None)


LONGEST = ("test_airflow.py", "test_readme_commands.py")  # whole runs of the pipeline


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no process waits for one of them at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
