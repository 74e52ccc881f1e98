"""Writing files and folders whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import files
from pipeline.refusal import Refusal


class Crash(Exception):
    pass


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.txt")}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(folder: Path, text: str, foreign: files.Foreign | None = None) -> None:
    with files.replacing_folder(folder, foreign=foreign) as temporary:
        (temporary / "a.txt").write_text(text)
        files.sign(temporary)


def test_a_folder_appears_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    with files.replacing_folder(tmp_path / "deep" / "out") as temporary:
        (temporary / "a.txt").write_text("new")
        assert not (tmp_path / "deep" / "out").exists()
    assert contents(tmp_path) == {"deep/out/a.txt": "new"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_our_own_folder_is_replaced_and_an_empty_one_too(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", "first", files.unsigned)
    write(tmp_path / "out", "second", files.unsigned)
    assert contents(tmp_path / "out") == {"a.txt": "second"}


@pytest.mark.parametrize("name", ["thesis.txt", "a.txt", "sub/b.txt"])
def test_a_folder_that_holds_what_we_did_not_write_is_not_touched(
    tmp_path: Path, name: str
) -> None:
    """A file more, one of ours that was changed since, and one further down."""
    out = tmp_path / "out"
    write(out, "ours", files.unsigned)
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("precious")
    before = contents(tmp_path)
    with pytest.raises(Refusal, match=rf"out holds {name}, which this command did not write"):
        write(out, "again", files.unsigned)
    assert contents(tmp_path) == before and names(tmp_path) == ["out"]


def test_what_comes_while_we_write_is_not_touched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        pytest.raises(Refusal, match="did not write"),
        files.replacing_folder(out, foreign=files.everything),
    ):
        out.mkdir()
        (out / "thesis.txt").write_text("precious")
    assert contents(tmp_path) == {"out/thesis.txt": "precious"}


def test_a_fault_in_the_middle_leaves_the_older_folder(tmp_path: Path) -> None:
    write(tmp_path / "out", "first")
    with pytest.raises(Crash), files.replacing_folder(tmp_path / "out") as temporary:
        (temporary / "a.txt").write_text("half")
        raise Crash
    assert contents(tmp_path) == {"out/a.txt": "first"} and names(tmp_path) == ["out"]


def test_a_fault_while_folders_change_places_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out", "first")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(files.TEMPORARY):
            raise Crash
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(Crash):
        write(tmp_path / "out", "second")
    assert contents(tmp_path) == {"out/a.txt": "first"}


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline import files
out, place = Path(sys.argv[1]), sys.argv[2]
rename = Path.rename
def killed(self, target):
    if place == "between two moves" and self.name.endswith(files.TEMPORARY):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.rename = killed
with files.replacing_folder(out) as temporary:
    (temporary / "a.txt").write_text("half")
    if place == "in the block":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("place", ["in the block", "between two moves"])
def test_what_a_killed_attempt_left_is_put_right_by_the_next(tmp_path: Path, place: str) -> None:
    write(tmp_path / "out", "first")
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "out", place], check=False)
    assert killed.returncode == -signal.SIGKILL and len(names(tmp_path)) == 2
    with pytest.raises(Crash), files.replacing_folder(tmp_path / "out"):
        raise Crash
    assert contents(tmp_path) == {"out/a.txt": "first"} and names(tmp_path) == ["out"]


def test_an_attempt_that_still_runs_keeps_its_folder(tmp_path: Path) -> None:
    with files.replacing_folder(tmp_path / "out") as temporary:
        (temporary / "a.txt").write_text("slow")
        write(tmp_path / "out", "quick")
        assert contents(tmp_path / "out") == {"a.txt": "quick"}
    assert contents(tmp_path) == {"out/a.txt": "slow"}


def test_a_link_is_refused_and_stays_with_what_it_leads_to(tmp_path: Path) -> None:
    write(tmp_path / "real", "first")
    for name, target in (("link", "real"), ("dangling", "nowhere")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(Refusal, match="is a link"):
            write(tmp_path / name, "second")
    assert contents(tmp_path / "real") == {"a.txt": "first"}
    assert (tmp_path / "link").readlink() == Path("real")


def test_a_link_in_our_folder_is_not_ours(tmp_path: Path) -> None:
    write(tmp_path / "out", "first")
    (tmp_path / "out" / "mine").symlink_to(tmp_path)
    assert files.unsigned(tmp_path / "out") == ["mine"]


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    with pytest.raises(Refusal, match="is a file"):
        write(tmp_path / "out", "second")
    assert (tmp_path / "out").read_text() == "precious"
