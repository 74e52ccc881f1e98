"""The walk of docs/your-data.md, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.catalog import project_root
from pipeline.cli.parser import main
from pipeline.environment import HOME_VARIABLE
from pipeline.schema.reader import read_schema

DOC = project_root() / "docs" / "your-data.md"
LOG = ("ingest: ", "simulate: ")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)


def said(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says, refusals too, without the clock; nothing where it goes to a file."""
    capsys.readouterr()
    words, _, file = command.partition(" > ")
    main(words.split()[3:])
    output = capsys.readouterr()
    if file:
        Path(file).write_text(output.out, encoding="utf-8")
        return ""
    errors = re.sub(r"(?m)^\d\d:\d\d:\d\d ", "", output.err)
    refusals = [line for line in errors.splitlines() if not line.startswith(LOG)]
    return output.out + "".join(f"{line}\n" for line in refusals)


def ran(console: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The block of the console as it comes out."""
    commands = [line[2:] for line in console.splitlines() if line.startswith("$ ")]
    return "".join(f"$ {command}\n{said(command, capsys)}" for command in commands)


def without_numbers(text: str) -> str:
    """What a plan costs changes with the models; how it is told does not."""
    return re.sub(r" +", " ", re.sub(r"\d[\d,.]*", "9", text))


def test_the_walk_says_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").mkdir()
    declaration = tmp_path / "datasets" / "mine.yaml"
    excerpt, review = blocks("yaml")
    draft, refusal, check, explanation = blocks("console")

    assert ran(draft, capsys) == draft
    assert excerpt in declaration.read_text(encoding="utf-8")
    assert ran(refusal, capsys) == refusal

    declaration.write_text(review, encoding="utf-8")
    assert ran(check, capsys) == check
    assert without_numbers(ran(explanation, capsys)) == without_numbers(explanation)
    assert not (tmp_path / "state" / "ledger.db").exists()


def test_the_reviewed_declaration_differs_from_the_draft_by_edits_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every column of the file stands in both, in the file's order: nothing was prepared by
    hand.
    """
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").mkdir()
    ran(blocks("console")[0], capsys)
    header = Path("source/sim_av_patient.csv").read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "datasets" / "mine.yaml").write_text(blocks("yaml")[1], encoding="utf-8")
    schema = read_schema(tmp_path / "datasets" / "mine.yaml")
    assert list(schema.tables["sim_av_patient"].columns) == header.split(",")
