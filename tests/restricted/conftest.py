from pathlib import Path

import pytest
from charged_cases import begun, workspace
from ingest_cases import Bench

__all__ = ["begun", "workspace"]  # fixtures


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)
