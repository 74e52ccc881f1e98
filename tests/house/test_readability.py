"""Functions that can be seen whole, comprehensions that can be read, names that say what a thing
is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("pipeline", "portal", "syndasera", "audit", "dags", "bench")
MAX_FUNCTION_LINES = 50
MAX_NESTING = 2
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# A participle says what happened to a thing, not what it is: a `reservation`, not `held`.
PARTICIPLES = frozenset(
    (
        "asked",
        "counted",
        "declared",
        "done",
        "drawn",
        "filled",
        "fitted",
        "found",
        "given",
        "got",
        "held",
        "kept",
        "known",
        "listed",
        "made",
        "measured",
        "mine",
        "noted",
        "planned",
        "quoted",
        "raised",
        "said",
        "scored",
        "seen",
        "shown",
        "stored",
        "taken",
        "told",
        "wanted",
        "written",
    )
)
FIELDS = {  # as declarations spell them
    "pipeline/schema/values.py": {"given", "counted", "known"},
    "pipeline/models/table/plan/plan.py": {"known"},
}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).glob("**/*.py"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS))


def n_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def nesting(node: ast.AST) -> int:
    """How many comprehensions lie within one another, at most."""
    inside = max((nesting(child) for child in ast.iter_child_nodes(node)), default=0)
    return inside + isinstance(node, COMPREHENSIONS)


def bound_names(tree: ast.AST) -> set[str]:
    """Names that a module gives: to variables, arguments, functions, classes and attributes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name):
                names.add(name)
    return names


def participles(tree: ast.AST) -> set[str]:
    return {name for name in bound_names(tree) if name.strip("_").lower() in PARTICIPLES}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_function_is_seen_whole(folder: str) -> None:
    long = [
        f"{path.relative_to(ROOT)}: {function.name}"
        for path in modules(folder)
        for function in functions(ast.parse(path.read_text(encoding="utf-8")))
        if n_lines(function) > MAX_FUNCTION_LINES
    ]
    assert not long, f"more than {MAX_FUNCTION_LINES} lines; split by meaning: {long}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_comprehension_can_be_read(folder: str) -> None:
    deep = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, COMPREHENSIONS) and nesting(node) > MAX_NESTING
    ]
    assert not deep, f"more than {MAX_NESTING} comprehensions within one another: {deep}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_say_what_a_thing_is(folder: str) -> None:
    names = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules(folder)
        for name in sorted(
            participles(ast.parse(path.read_text(encoding="utf-8")))
            - FIELDS.get(str(path.relative_to(ROOT)), set())
        )
    ]
    assert not names, f"participles as names; name the thing itself: {names}"


def test_the_readers_of_this_test_read() -> None:
    tree = ast.parse("def told(held): found = [[[x for x in y] for y in z] for z in held]")
    assert participles(tree) == {"told", "held", "found"}
    assert nesting(tree) == 3 and [n_lines(function) for function in functions(tree)] == [1]
