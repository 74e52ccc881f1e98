"""Options that are given twice, odd numbers and dates, and files that stand where a new one should
be written: one clear line for each, and nothing is changed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from budget_cases import opened

from pipeline import files
from pipeline.catalog import Home
from pipeline.cli.parser import main, parser
from pipeline.refusal import Refusal

DRAW = ["draw", "--model", "m", "--rows", "5", "--out", "o"]


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def options() -> Iterator[tuple[str, argparse.Action]]:
    """Every option of every command and action."""

    def visit(command: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                for below in action.choices.values():
                    yield from visit(below)
            elif action.option_strings and action.dest != "help":
                yield command.prog, action

    yield from visit(parser())


@pytest.mark.parametrize(
    ("prog", "action"), list(options()), ids=lambda value: getattr(value, "dest", value)
)
def test_no_option_drops_the_first_of_two_values(prog: str, action: argparse.Action) -> None:
    """Each is refused the second time, declared repeatable, or says the same twice."""
    if action.nargs == 0 or isinstance(action, argparse._AppendAction):
        return
    namespace, command = argparse.Namespace(), argparse.ArgumentParser(prog=prog)
    action(command, namespace, "a", action.option_strings[0])
    with pytest.raises(argparse.ArgumentError, match="is given twice"):
        action(command, namespace, "b", action.option_strings[0])


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([*DRAW, "--rows", "6"], "--rows: is given twice"),
        ([*DRAW, "--ro", "6"], "is given twice"),
        ([*DRAW, "--out=p"], "--out: is given twice"),
        ([*DRAW, "--seed", "1", "--seed", "1"], "--seed: is given twice"),
        ([*DRAW, "--begins", "A", "--begins", "B"], "--begins: is given twice"),
        (["prepare", "--dataset", "adult", "--dataset", "b"], "--dataset: is given twice"),
        (["ledger", "quote", "adult", "--epsilon", "1", "--epsilon", "2"], "is given twice"),
        ([*DRAW, "--seed", "-1"], "no seed"),
        ([*DRAW, "--seed", "1.5"], "no seed"),
        ([*DRAW, "--seed", "²"], "no seed"),
        ([*DRAW, "--seed", "9" * 5000], "no seed"),
        ([*DRAW[:4], "0", "--out", "o"], "no whole number of at least 1"),
        ([*DRAW[:4], "-5", "--out", "o"], "no whole number of at least 1"),
        ([*DRAW[:4], "", "--out", "o"], "no whole number of at least 1"),
        ([*DRAW[:4], "²", "--out", "o"], "no whole number of at least 1"),
        ([*DRAW[:4], "1e3", "--out", "o"], "no whole number of at least 1"),
        ([*DRAW, "--extract-date", "20221231"], "is no date, write YYYY-MM-DD"),
        ([*DRAW, "--extract-date", "2022-02-30"], "is no date, write YYYY-MM-DD"),
        ([*DRAW, "--extract-date", "2022-W01-1"], "is no date, write YYYY-MM-DD"),
        (["ledger", "quote", "adult", "--epsilon", "nan"], "is no number"),
        (["simulate", "--patients", "-3", "--out", "x"], "no whole number of at least 1"),
        (["simulate", "--patients", "3", "--seed", "-3", "--out", "x"], "no seed"),
        (["simulate", "--patients", "3", "--extract-date", "soon", "--out", "x"], "is no date"),
    ],
)
def test_odd_options_are_one_clear_line(
    arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert what in said(arguments, capsys)


@pytest.mark.parametrize("dataset", ["../adult", "/etc/passwd", "adult/../adult", ".", "a\0b"])
@pytest.mark.parametrize("command", ["prepare", "refresh", "check-source", "quote", "open"])
def test_a_dataset_is_a_name_and_no_path(
    command: str, dataset: str, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {
        "prepare": ["prepare", "--dataset", dataset, "--release-id", "one-1"],
        "refresh": ["refresh", dataset, "--release-id", "one-1"],
        "check-source": ["check-source", "--dataset", dataset],
        "quote": ["ledger", "quote", dataset],
        "open": ["ledger", "open", dataset, "--reason", "tests"],
    }[command]
    assert main(arguments) == 2
    assert "there is no dataset" in capsys.readouterr().err


def test_a_persons_file_is_never_replaced(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(home.ledger_file, people=3.0)
    mine = tmp_path / "thesis.json"
    mine.write_text("eight months of work", encoding="utf-8")
    for arguments in (["ledger", "export"], ["audit", "--only", "racing processes"]):
        assert main([*arguments, "--out", str(mine)]) == 2
        assert "thesis.json is there already. Nothing was changed" in capsys.readouterr().err
        assert mine.read_text("utf-8") == "eight months of work"
    new = tmp_path / "new" / "export.json"
    assert main(["ledger", "export", "--out", str(new)]) == 0
    assert json.loads(new.read_text("utf-8"))["entries"]
    assert new.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in new.parent.iterdir()] == ["export.json"]


def test_a_new_file_is_not_put_over_one_that_came_meanwhile(tmp_path: Path) -> None:
    path, link = tmp_path / "out.csv", tmp_path / "link.csv"
    link.symlink_to(path)
    for taken in (tmp_path, link):
        with pytest.raises(Refusal), files.new_file(taken):
            raise AssertionError("the block must not begin")
    with pytest.raises(Refusal, match="there already"), files.new_file(path) as temporary:
        temporary.write_text("ours")
        path.write_text("a person's")
    assert path.read_text() == "a person's"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link.csv", "out.csv"]


def test_the_name_of_a_dataset_is_that_of_its_file(home: Home, tmp_path: Path) -> None:
    from pipeline.runs.workspace import Request, make

    text = (Path(__file__).parents[2] / "datasets" / "adult.yaml").read_text("utf-8")
    home.datasets.mkdir(parents=True, exist_ok=True)
    (home.datasets / "other.yaml").write_text(text, encoding="utf-8")
    request = Request(release_id="one-1", dataset="other", source=str(tmp_path), label="x",
                      extract_date=date(2022, 12, 31), epsilon=1.0, rows=5)  # fmt: skip
    with pytest.raises(Refusal, match=r"other\.yaml declares dataset 'adult'"):
        make(home, request)
