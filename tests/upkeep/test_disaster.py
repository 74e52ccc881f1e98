"""The whole story, on the state of an older version: a backup while a refresh runs, everything
deleted, the backup put back, and the run that was open goes on under its one charge.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from upkeep_cases import DATASET, POPULATION, answer, run

from pipeline import files
from pipeline.catalog import Home, project_root
from pipeline.environment import HOME_VARIABLE
from pipeline.ledger import Ledger
from pipeline.runs import version_stores
from pipeline.runs.mirrors import remote_of
from pipeline.runs.programs import write_dvc_config

PATIENCE = 1200  # seconds, for a machine with other work


@pytest.fixture
def place(home: Home, tmp_path: Path) -> Home:
    """The home of an older version, whose stores lead to where it lies now, and a new extract of
    its source.
    """
    for zone, store in (("released", home.released_store), ("restricted", home.restricted_store)):
        tree = tmp_path / zone
        version_stores.clone(store, tree)
        write_dvc_config(tree / ".dvc", zone, remote_of(home, zone))
        version_stores.commit_all(tree, "moved for a test")
        version_stores.git("push", "-q", "origin", "main", cwd=tree)
    draw = random.Random(7)
    rows = [
        f"{draw.choice('FM')},{draw.choice(('no', 'no', 'yes'))},{draw.randint(20, 90)}"
        for _ in range(300)
    ]
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "people.csv").write_text("\n".join(("sex,smokes,age", *rows)) + "\n")
    return home


def request(home: Home, release: str, label: str) -> tuple[str, ...]:
    source = home.root.parent / "source"
    return (
        *("refresh", DATASET, "--release-id", release, "--source", str(source)),
        *("--label", label, "--rows", "60", "--epsilon", "1"),
    )


def begun(home: Home, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words],
        env=os.environ | {HOME_VARIABLE: str(home.root), "PYTHONPATH": str(project_root())},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_model(home: Home, release: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while Ledger(home.ledger).trained_model(release) is None:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.2)


@pytest.mark.long
def test_everything_is_lost_and_put_back(place: Home, tmp_path: Path) -> None:
    before = tmp_path / "before"
    answer(place.root, "backup", str(before))

    process = begun(place, *request(place, "toy-2", "second"))
    try:
        wait_for_model(place, "toy-2", process)
        said = answer(place.root, "backup", str(tmp_path / "copy"))
        assert "is sound" in said
        assert process.poll() is None  # the refresh ran all the while
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    model = Ledger(place.ledger).trained_model("toy-2")
    shutil.copytree(place.released, tmp_path / "outside")
    for folder in (place.state, place.runs, place.mlruns):
        shutil.rmtree(folder, ignore_errors=True)

    said = answer(
        place.root,
        *("restore", str(tmp_path / "copy"), "--released", str(tmp_path / "outside")),
        "--nothing-refused-since",
    )
    assert "Run toy-2 waits where it was" in said
    assert "toy-1 is sound." in answer(place.root, "verify", "toy-1")
    assert "is whole" in answer(place.root, "ledger", "verify")
    answer(place.root, *request(place, "toy-2", "second"))  # goes on: nothing is charged again
    assert Ledger(place.ledger).trained_model("toy-2") == model
    assert files.folder_sha256(place.release("toy-2").model) == model
    answer(place.root, *request(place, "toy-3", "third"))
    for release in ("toy-1", "toy-2", "toy-3"):
        assert f"{release} is sound." in answer(place.root, "verify", release)
    assert len(Ledger(place.ledger).reservations(POPULATION)) == 3

    # the copy of before knows nothing of what was published since
    shutil.move(place.state, tmp_path / "state.lost")
    shutil.rmtree(place.runs)
    shutil.rmtree(place.mlruns)
    shown = ("--released", str(tmp_path / "state.lost" / "released"))
    refusal = run(place.root, "restore", str(before), *shown)
    assert refusal.returncode == 2 and not place.state.exists()
    assert f"the population(s) {POPULATION} are closed" in refusal.stderr
    answer(place.root, "restore", str(before), *shown, "--closed")
    assert "toy-1 is sound." in answer(place.root, "verify", "toy-1")
    closed = run(place.root, *request(place, "toy-4", "fourth"))
    assert closed.returncode == 2 and "is not in the ledger" in closed.stderr
    assert len(Ledger(place.ledger).reservations(POPULATION)) == 1
