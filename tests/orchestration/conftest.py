"""A home of its own for every test: nothing touches the project's state."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.catalog import Home
from pipeline.environment import HOME_VARIABLE


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    made = Home.find()
    made.state.mkdir(parents=True)
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    (path / "adult.csv").write_text("age\n39\n")
    return path
