"""The commands of docs/operations.md, on the state that an older version left."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from pyrage import x25519
from upkeep_cases import RELEASE

from pipeline.__main__ import main
from pipeline.catalog import Home, project_root
from pipeline.catalog.version import VERSION, version_of
from pipeline.services.backup_note import last_backup

PAGE = (project_root() / "docs" / "operations.md").read_text(encoding="utf-8")


def commands(heading: str) -> list[list[str]]:
    """The commands of the pipeline that a section shows, in order."""
    section = PAGE.split(f"{heading}\n")[1].split("\n##")[0]
    lines = re.findall(r"^    python -m pipeline (.+)$", section, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def test_state_of_today_opens_in_a_later_version(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger, the release and its model, as the version before numbers made them."""
    assert version_of(home.state) == 1
    out, model = tmp_path / "again.csv", str(home.release(RELEASE).model)
    for words in (
        ("ledger", "verify"),
        ("verify", RELEASE),
        ("draw", "--model", model, "--rows", "20", "--seed", "3", "--out", str(out)),
    ):
        assert main(words) == 0, words
    said = capsys.readouterr()
    assert f"the state is of version {VERSION} now" in said.err
    assert version_of(home.state) == VERSION
    assert "is whole" in said.out and f"{RELEASE} is sound." in said.out
    assert out.read_bytes() == (home.root / "draw.csv").read_bytes()


def test_the_commands_of_the_page(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {
        "/backup/monday": str(tmp_path / "monday"),
        "/mirror/released": str(tmp_path / "mirror"),
        "RELEASE": RELEASE,
    }
    backing_up = commands("## 1. Back up, and put back")
    putting_back = commands("### Put a backup back")
    assert [words[0] for words in backing_up] == ["backup", "backup"]
    assert [words[0] for words in putting_back] == ["restore", "ledger", "verify"]
    shutil.copytree(home.released, tmp_path / "mirror")
    for words in backing_up:
        assert main([places.get(word, word) for word in words]) == 0, words
    assert last_backup(home) is not None  # the doctor and the watch ask
    shutil.rmtree(home.state)
    shutil.rmtree(home.runs)
    for words in putting_back:
        assert main([places.get(word, word) for word in words]) == 0, words
    assert f"{RELEASE} is sound." in capsys.readouterr().out
    assert main(["tidy", "--dry-run"]) == 0
    assert "the ledger never forgets" in capsys.readouterr().out


def test_an_encrypted_backup_by_command(home: Home, tmp_path: Path) -> None:
    identity, place = x25519.Identity.generate(), str(tmp_path / "monday.age")
    (tmp_path / "key.txt").write_text(f"{identity}\n")
    key = ("--identity", str(tmp_path / "key.txt"))
    assert last_backup(home) is None
    assert main(["backup", place, "--to", str(identity.to_public())]) == 0
    assert last_backup(home) is not None
    shutil.rmtree(home.state)
    shutil.rmtree(home.runs)
    assert main(["backup", "--check", place, *key]) == 0
    stated = ("--nothing-published-since", "--nothing-refused-since")
    assert main(["restore", place, *stated, *key]) == 0
    assert home.ledger_file.is_file() and not list(home.root.glob(".backup-*"))
