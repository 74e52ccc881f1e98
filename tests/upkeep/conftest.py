from __future__ import annotations

from pathlib import Path

import pytest
from upkeep_cases import unpack

from pipeline.catalog import Home
from pipeline.environment import HOME_VARIABLE


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The small home of an older version, unpacked."""
    root = unpack(tmp_path / "home")
    monkeypatch.setenv(HOME_VARIABLE, str(root))
    return Home.find()
