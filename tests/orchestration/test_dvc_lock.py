"""Half a lock of DVC, as a kill or a full disk leaves it, does not stop every later try."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import environment, stages
from pipeline.__main__ import main
from pipeline.catalog import Home, Workspace, project_root
from pipeline.catalog.version import write_version
from pipeline.runs import stage_lock, version_stores

BROKEN = ("", "{", '{"write": {"/x": {"pid": 1', "null", "[]", "\0\0\0\0")


@pytest.fixture
def tree(home: Home, tmp_path: Path) -> Path:
    """A workspace with one stage, and a lock's folder."""
    made = tmp_path / "tree"
    write_version(home.state)
    version_stores.ensure(home)
    version_stores.begin_draw(home, made, "adult-1")
    (made / "dvc.yaml").write_text("stages:\n  sample:\n    cmd: echo one >> told\n")
    (made / ".dvc" / "tmp").mkdir()
    return made


def lock(tree: Path) -> Path:
    return tree / ".dvc" / "tmp" / "rwlock"


@pytest.mark.parametrize("text", BROKEN)
def test_half_a_lock_is_removed(tree: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(tree).write_text(text)
    monkeypatch.chdir(tree)
    assert main(["mend-lock"]) == 0 and not lock(tree).exists()
    assert main(["mend-lock"]) == 1


@pytest.mark.parametrize("text", ["{}", '{"write": {}, "read": {}}'])
def test_a_whole_lock_stays(tree: Path, text: str) -> None:
    lock(tree).write_text(text)
    assert not version_stores.mend_lock(tree) and lock(tree).read_text() == text


def test_a_lock_that_is_being_written_stays(tree: Path) -> None:
    lock(tree).write_text("")
    with lock(tree).with_name("rwlock.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        assert not version_stores.mend_lock(tree) and lock(tree).exists()
    assert version_stores.mend_lock(tree)


def test_a_lock_is_mended_under_the_lock_of_the_stage(tree: Path) -> None:
    """While a stage runs in the workspace, nothing of DVC's is removed beneath it."""
    lock(tree).write_text("")
    variables = environment.for_stages() | {"PYTHONPATH": str(project_root())}
    with stage_lock.alone(Workspace(tree)):
        mending = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "mend-lock"],
            cwd=tree,
            env=variables,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert mending.stderr is not None
        assert "another stage is running" in mending.stderr.readline()
        assert lock(tree).exists()
    assert "is removed" in mending.communicate()[1] and not lock(tree).exists()


def test_a_stage_runs_over_half_a_lock(tree: Path) -> None:
    """By the very line of a task, but for what is recorded after it."""
    line = stages.repro_command("sample").partition("; python -m pipeline record")[0]
    lock(tree).write_text("")
    variables = environment.for_stages() | {"PYTHONPATH": str(project_root())}
    done = subprocess.run(["bash", "-c", line], cwd=tree, env=variables, check=False)
    assert done.returncode == 0 and (tree / "told").read_text() == "one\n"
    lock(tree).write_text("{")
    version_stores.dvc("repro", "--quiet", "--force", cwd=tree)
    assert (tree / "told").read_text() == "one\none\n"
