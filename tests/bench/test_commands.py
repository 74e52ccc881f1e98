"""Every benchmark tells what it does, and the pages name each of them by a command that exists."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = re.compile(r"`python -m bench\.(\w+)((?: [\w-][^`]*)?)`")
SCRIPTS = sorted(
    path.stem
    for path in (ROOT / "bench").glob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)


def commands() -> list[tuple[str, str]]:
    """(script, what follows it) of every command of a benchmark in README.md and docs/."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [
        command for page in pages for command in COMMAND.findall(page.read_text(encoding="utf-8"))
    ]


def help_of(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    script = importlib.import_module(f"bench.{arguments[0]}")
    monkeypatch.setattr(sys, "argv", [*arguments, "--help"])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_tells_what_it_does(name, monkeypatch, capsys) -> None:
    text = help_of([name], monkeypatch, capsys)
    assert f"python -m bench.{name}" in text and "usage:" in text


@pytest.mark.parametrize("command", sorted(set(commands())), ids=lambda command: " ".join(command))
def test_a_command_on_a_page_exists(command, monkeypatch, capsys) -> None:
    name, rest = command
    assert name in SCRIPTS
    words = rest.split()
    subcommand = words[:1] if words and not words[0].startswith("-") else []
    text = help_of([name, *subcommand], monkeypatch, capsys)
    for option in (word for word in words if word.startswith("--")):
        assert option in text


def test_the_pages_name_every_benchmark() -> None:
    assert {name for name, _ in commands()} == set(SCRIPTS)
