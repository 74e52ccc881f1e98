"""The imports of the house, read from the source: for the tests of this folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPLIT_ROOMS = ("checks", "models", "restricted")  # whose folders are rooms of their own


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_name(path): path
    for top in ("pipeline", "audit")
    for path in sorted(ROOT.glob(f"{top}/**/*.py"))
}


def room(module: str) -> str:
    """The room of a module: `audit`, a folder or module of `pipeline/`, or a folder or module of
    one of the split rooms.
    """
    parts = module.split(".")
    if parts[0] == "audit":
        return "audit"
    names = parts[1:] or ["__init__"]
    return ".".join(names[:2]) if names[0] in SPLIT_ROOMS else names[0]


def _statements(tree: ast.AST, *, top_level: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements; with `top_level` only those that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not (top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from _statements(node, top_level=top_level)


@cache
def imported_names(path: Path, *, top_level: bool = False) -> frozenset[str]:
    """Absolute names of everything that a file imports: modules, and names out of modules."""
    names: set[str] = set()
    for node in _statements(ast.parse(path.read_text(encoding="utf-8")), top_level=top_level):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            assert node.level == 0 and node.module, f"{path.name}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def module_of(name: str) -> str | None:
    """The module of ours that an imported name lies in; None for a library's."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def imports(module: str, *, top_level: bool = False) -> set[str]:
    """Modules of ours that a module imports."""
    names = imported_names(MODULES[module], top_level=top_level)
    found = {module_of(name) for name in names} - {None, "pipeline", module}
    return {name for name in found if name is not None}


def graph(top: str, *, top_level: bool) -> dict[str, set[str]]:
    return {
        name: imports(name, top_level=top_level) for name in MODULES if name.split(".")[0] == top
    }


def circle(edges: dict[str, set[str]]) -> list[str]:
    """One circle of the graph as a list of its members; empty where there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for other in sorted(edges.get(name, ())):
            if members := visit(other, [*path, name]):
                return members
        done.add(name)
        return []

    for name in sorted(edges):
        if members := visit(name, []):
            return members
    return []


def longest_chain(edges: dict[str, set[str]]) -> list[str]:
    """The longest way down a graph without circles, from its top."""

    @cache
    def chain(name: str) -> tuple[str, ...]:
        below = [chain(other) for other in sorted(edges.get(name, ()))]
        return (name, *max(below, key=len, default=()))

    return list(max((chain(name) for name in edges), key=len, default=()))


def floors(edges: dict[str, set[str]]) -> dict[int, list[str]]:
    """Rooms by floor: the ground is 1, and a room stands one above the highest that it imports."""

    @cache
    def floor(name: str) -> int:
        return 1 + max((floor(other) for other in edges.get(name, ())), default=0)

    levels: dict[int, list[str]] = {}
    for name in sorted(edges):
        if name not in (
            *SPLIT_ROOMS,
            "__init__",
            "__main__",
        ):  # packages without anything of theirs
            levels.setdefault(floor(name), []).append(name)
    return dict(sorted(levels.items()))


def rooms() -> dict[str, set[str]]:
    """Which rooms each room imports from, imports inside functions included."""
    edges: dict[str, set[str]] = {room(module): set() for module in MODULES}
    for module in MODULES:
        edges[room(module)] |= {room(other) for other in imports(module)} - {room(module)}
    return edges
