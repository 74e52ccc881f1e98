"""docs/ways.md names functions of the code: each of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STOP = re.compile(r"`(pipeline/[\w/]+\.py): ([\w.]+)`")


def stops(text: str) -> list[tuple[str, str]]:
    """(file, function) of every stop that a text names; a method is Class.method."""
    return STOP.findall(" ".join(text.split()))


def names_in(tree: ast.Module) -> set[str]:
    """Functions and classes of a module, and the methods of its classes as Class.method."""
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = set()
    for node in tree.body:
        if isinstance(node, definitions):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{one.name}" for one in node.body if isinstance(one, definitions)
            }
    return names


def missing(text: str) -> list[str]:
    """The stops whose file or function does not exist."""
    absent = []
    for path, function in stops(text):
        file = ROOT / path
        if not file.is_file() or function not in names_in(ast.parse(file.read_text("utf-8"))):
            absent.append(f"{path}: {function}")
    return absent


def test_every_stop_of_the_ways_exists() -> None:
    text = (ROOT / "docs" / "ways.md").read_text("utf-8")
    assert len(set(stops(text))) > 50
    assert not missing(text), f"docs/ways.md names what is not there: {missing(text)}"


@pytest.mark.parametrize(
    "stop",
    [
        "`pipeline/nothing.py: run`",
        "`pipeline/ledger/ledger.py: Ledger.nothing`",
        "`pipeline/ledger/ledger.py: reserve`",
        "a line ends in `pipeline/ledger/ledger.py:\nnothing`",
    ],
)
def test_a_stop_that_does_not_exist_is_found(stop: str) -> None:
    assert missing(stop)


def test_a_stop_that_exists_passes() -> None:
    assert not missing("`pipeline/ledger/ledger.py: Ledger.reserve` and `pipeline/files.py: sign`")
