"""Every planted fault is really planted, those of the long set too: the names that it patches and
uses are there, and the code that it patches is called. A fault that only breaks the program would
pass for one that was found.
"""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import every_fault
import pytest
from torch import nn

import audit.every  # loads all that faults are planted in
from audit import findings

ROOT = Path(__file__).resolve().parents[2]
ABSENT = object()
LOADS = ("LOAD_GLOBAL", "LOAD_NAME")
ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")


@dataclass(frozen=True)
class Change:
    """`new` stands at owner.name in the place of `old`; ABSENT where nothing stood there."""

    owner: Any
    name: str
    old: Any
    new: Any


@dataclass
class Notebook:
    """Patches as a MonkeyPatch does, and notes each change."""

    patch: pytest.MonkeyPatch
    changes: list[Change] = field(default_factory=list)

    def setattr(self, owner: Any, name: str, value: Any, raising: bool = True) -> None:
        old = inspect.getattr_static(owner, name, ABSENT)
        self.patch.setattr(owner, name, value, raising=raising)
        self.changes.append(Change(owner, name, old, value))


def plant(fault: Any, patch: pytest.MonkeyPatch) -> list[Change]:
    notebook = Notebook(patch)
    fault.patch(notebook)
    return notebook.changes


def codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function and of all functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def functions_of(module: ModuleType) -> Iterator[FunctionType]:
    """Functions and methods that are defined in a module."""
    for value in vars(module).values():
        members = vars(value).values() if inspect.isclass(value) else [value]
        for member in members:
            function = getattr(member, "fget", None) or inspect.unwrap(member)
            if isinstance(function, FunctionType) and function.__globals__ is vars(module):
                yield function


@cache
def attributes() -> frozenset[str]:
    """Names that stand behind a dot somewhere in pipeline/ or audit/."""
    paths = [*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("audit/*.py")]
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in paths)
    return frozenset(
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    )


def is_used(change: Change) -> bool:
    """Whether any code comes to what stands at owner.name."""
    if isinstance(change.owner, FunctionType):  # its own code is replaced
        return change.name == "__code__"
    if isinstance(change.owner, ModuleType):
        loads = (
            name
            for function in functions_of(change.owner)
            if function is not change.new
            for code in codes(function.__code__)
            for name in code.co_names
        )
        return change.name in loads or change.name in attributes()
    # a module of torch calls its `forward` itself
    is_called = change.name == "forward" and issubclass(change.owner, nn.Module)
    return is_called or change.name in attributes() or change.name.startswith("__")


def missing_names(function: FunctionType) -> list[str]:
    """Global names that a function uses, and attributes of modules and classes among them, that
    nothing has.
    """
    missing = []
    for code in codes(function.__code__):
        value, path = ABSENT, ""
        for instruction in dis.get_instructions(code):
            if instruction.opname in LOADS:
                path = instruction.argval
                value = function.__globals__.get(path, getattr(builtins, path, ABSENT))
                missing += [path] if value is ABSENT else []
            elif instruction.opname in ATTRIBUTES and isinstance(value, ModuleType | type):
                path = f"{path}.{instruction.argval}"
                value = getattr(value, instruction.argval, ABSENT)
                missing += [path] if value is ABSENT else []
            else:
                value = ABSENT
    return missing


def n_arguments(function: Any) -> int | None:
    """How many arguments a function takes; None where it takes any."""
    parameters = inspect.signature(function).parameters.values()
    if any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters):
        return None
    return len(parameters)


@pytest.mark.parametrize(
    "fault",
    every_fault.FAULTS,
    ids=[f"{fault.name}: {getattr(fault, 'where', '')}" for fault in every_fault.FAULTS],
)
def test_a_fault_is_planted(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        changes = plant(fault, patch)
        assert [change for change in changes if change.old is not ABSENT], "it changes nothing"
        for change in changes:
            place = f"{change.owner.__name__}.{change.name}"
            assert change.new is not change.old, f"{place} stays as it is"
            places = [other for other in changes if other.new is change.new]
            assert any(map(is_used, places)), f"no code comes to {place}"
            if isinstance(change.new, FunctionType):
                assert not missing_names(change.new), f"in place of {place}"
                if isinstance(change.old, FunctionType):
                    assert n_arguments(change.new) in (None, n_arguments(change.old)), place


def test_the_readers_of_this_test_read() -> None:
    def broken() -> None:
        audit.every.no_such_check(no_such_name)  # noqa: F821

    def nested() -> Any:
        return lambda: audit.every.CHECKS

    assert missing_names(broken) == ["audit.every.no_such_check", "no_such_name"]
    assert missing_names(nested) == []
    assert not is_used(Change(findings, "nobody_calls_this", ABSENT, broken))
    assert is_used(Change(findings, "perf_counter", ABSENT, broken))
    assert n_arguments(is_used) == 1 and n_arguments(print) is None
