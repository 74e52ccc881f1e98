"""State that an older version left is brought to today's form; a newer one is refused by name."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pipeline import migrations
from pipeline.__main__ import main
from pipeline.catalog import Home
from pipeline.catalog.version import VERSION, version_of, write_version
from pipeline.environment import HOME_VARIABLE
from pipeline.refusal import Refusal


def test_files_of_before_become_the_owners_alone(home: Home) -> None:
    home.sources.write_text("{}")
    home.sources.chmod(0o666)
    assert len(migrations.migrate(home)) == VERSION - 1
    assert stat.S_IMODE(home.sources.stat().st_mode) == 0o600
    assert migrations.migrate(home) == []


def test_a_newer_state_is_refused_before_anything_is_read(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    write_version(home.state, VERSION + 1)
    with pytest.raises(Refusal, match="written by a newer Syndasera"):
        Home.find()
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*")}
    assert main(["ledger"]) == 2
    assert "written by a newer Syndasera" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in home.root.rglob("*")} == before


def test_a_number_that_is_none_is_refused(home: Home) -> None:
    home.version.write_text("two\n")
    with pytest.raises(Refusal, match="state/version is damaged"):
        Home.find()


def test_a_step_that_was_cut_off_is_done_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_: Home) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", {1: migrations.Step("a step", killed)})
        with pytest.raises(KeyboardInterrupt):
            migrations.migrate(home)
    assert version_of(home.state) == 1
    migrations.migrate(home)
    assert version_of(home.state) == VERSION


def test_a_new_state_is_numbered_and_reading_begins_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "new"))
    assert main(["status"]) == 0
    new = Home.find()
    assert version_of(new.state) is None and not new.version.exists()
    assert main(["ledger", "open", "adult", "--reason", "tests"]) == 0
    assert version_of(new.state) == VERSION
    assert [path.name for path in new.root.iterdir()] == ["state"]
