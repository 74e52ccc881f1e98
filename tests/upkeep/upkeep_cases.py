"""A small home of invented people, as the version before states had numbers left it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from pipeline.catalog import project_root
from pipeline.environment import HOME_VARIABLE

DATA = Path(__file__).parent / "data"
RELEASE, POPULATION, DATASET = "toy-1", "toy", "toy"


def unpack(home: Path) -> Path:
    """The state, the declaration and the workspace of one release of 300 invented people, 60
    synthetic ones, epsilon 1, and in draw.csv 20 patients that the same code drew with seed 3.
    """
    with tarfile.open(DATA / "version-1.tar.xz") as archive:
        archive.extractall(home, filter="data")
    return home


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=home,
        env=os.environ | {HOME_VARIABLE: str(home), "PYTHONPATH": str(project_root())},
        capture_output=True,
        text=True,
        check=False,
    )


def answer(home: Path, *words: str) -> str:
    """What a command says, of which nothing may be a refusal."""
    process = run(home, *words)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout
