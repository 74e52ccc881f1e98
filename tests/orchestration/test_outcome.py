"""The last words of a run: what they tell somebody to type works."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from pipeline.catalog import Home, Release
from pipeline.cli.outcome import say_outcome
from pipeline.released import manifest, publish
from pipeline.released.package import link_folder


@pytest.fixture
def published(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """A made-up release in the version store, with a folder of links and files for git. It was
    never charged, so it has no line in the transparency log.
    """
    monkeypatch.setattr(publish.log_line, "add_line", lambda *_: None)
    release = Release(tmp_path / "release")
    for folder in (release.extract.csv, release.model, release.sample):
        folder.mkdir(parents=True)
        (folder / "adult.csv").write_text("age\n39\n")
    link_folder(release.extract.csv, release.data)
    release.start_page.write_text("# Start here\n")
    manifest.write(release.root, {"release_id": "adult-1"})
    home.published.mkdir(parents=True)
    publish._tag(home, release, "adult-1", "adult", [])
    publish._copy(release, home.release("adult-1"))
    return release


@pytest.mark.parametrize("place", ["the home", "another folder"])
def test_the_command_that_fetches_a_release_does(
    home: Home,
    published: Release,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    here = home.root if place == "the home" else tmp_path / "o'clock elsewhere"
    here.mkdir(exist_ok=True)
    monkeypatch.chdir(here)
    assert say_outcome(home, "adult", "adult-1", "success") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    [command] = [line.removeprefix("fetch it").strip() for line in lines if "fetch it" in line]
    assert (str(home.root) in command) == (place == "another folder")
    done = subprocess.run(
        shlex.split(command), cwd=here, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    fetched = Release(here / "adult-1")
    for path in published.root.rglob("*"):
        if path.is_file():
            assert (fetched.root / path.relative_to(published.root)).read_bytes() == (
                path.read_bytes()
            )
    page = home.release("adult-1").start_page
    assert f"begin with   {page.relative_to(home.root)}" in lines and page.is_file()
