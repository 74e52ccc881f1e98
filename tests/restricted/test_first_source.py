"""The walk of docs/first_source.md, as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.catalog import project_root
from pipeline.cli.parser import main
from pipeline.environment import HOME_VARIABLE

DOC = project_root() / "docs" / "first_source.md"
STEPS: tuple[Callable[[str], str], ...] = (  # what a reader writes before each check
    lambda text: text,
    lambda text: text.replace("    key: [id]\n", '    key: [id]\n    separator: ";"\n'),
    lambda text: text.replace(
        '    separator: ";"\n',
        '    separator: ";"\n    date_format: "%d/%m/%Y"\n    decimal: ","\n'
        '    missing: ["."]\n    line_breaks: true\n',
    ),
    lambda text: text.replace("[A, B]", "[A, B, C]"),
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)


def said(command: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    """What the command says, refusals too, without the clock."""
    capsys.readouterr()
    main(command.split()[3:])
    output = capsys.readouterr()
    errors = re.sub(r"(?m)^\d\d:\d\d:\d\d ", "", output.err)
    refusals = [line for line in errors.splitlines() if not line.startswith("ingest: ")]
    return output.out + "".join(f"{line}\n" for line in refusals)


def walk(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> list[str]:
    """Each block of the console as it comes out."""
    (folder / "datasets").mkdir(exist_ok=True)
    declaration = folder / "datasets" / "clinic.yaml"
    declaration.write_text(blocks("yaml")[0])
    (folder / "clinic.csv").write_text(blocks("csv")[0])
    consoles = []
    for step, console in zip(STEPS, blocks("console"), strict=True):
        declaration.write_text(step(declaration.read_text()))
        commands = [line[2:] for line in console.splitlines() if line.startswith("$ ")]
        consoles.append(
            "".join(f"$ {command}\n{said(command, capsys, caplog)}" for command in commands)
        )
    return consoles


def test_the_walk_says_what_the_page_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert walk(tmp_path, capsys, caplog) == blocks("console")
    assert not (tmp_path / "state" / "ledger.db").exists()
    assert list((tmp_path / "state" / "restricted").iterdir()) == []
