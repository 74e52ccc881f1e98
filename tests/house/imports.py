"""The imports of this project, read from the source: for the tests of this folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPLIT_PACKAGES = ("checks", "models", "restricted")  # whose folders are packages of their own


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_name(path): path
    for top in ("pipeline", "audit", "portal")
    for path in sorted(ROOT.glob(f"{top}/**/*.py"))
}


def package(module: str) -> str:
    """The package of a module: `audit`, `portal.public` and its like, a folder or module of
    `pipeline/`, or a folder or module of one of the split packages.
    """
    parts = module.split(".")
    if parts[0] == "audit":
        return "audit"
    if parts[0] == "portal":
        return ".".join(parts[:2])
    names = parts[1:] or ["__init__"]
    return ".".join(names[:2]) if names[0] in SPLIT_PACKAGES else names[0]


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
    found = {module_of(name) for name in names} - {None, "pipeline", "portal", module}
    return {name for name in found if name is not None}


def graph(top: str, *, top_level: bool) -> dict[str, set[str]]:
    return {
        name: imports(name, top_level=top_level) for name in MODULES if name.split(".")[0] == top
    }


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """One cycle of the graph as a list of its members; empty where there is none."""
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
    """The longest way down a graph without cycles, from its top."""

    @cache
    def chain(name: str) -> tuple[str, ...]:
        below = [chain(other) for other in sorted(edges.get(name, ()))]
        return (name, *max(below, key=len, default=()))

    return list(max((chain(name) for name in edges), key=len, default=()))


def layers(edges: dict[str, set[str]]) -> dict[int, list[str]]:
    """Packages by layer: a package is one layer above the highest that it imports from; the lowest
    layer is 1.
    """

    @cache
    def layer(name: str) -> int:
        return 1 + max((layer(other) for other in edges.get(name, ())), default=0)

    levels: dict[int, list[str]] = {}
    for name in sorted(edges):
        if name not in (
            *SPLIT_PACKAGES,
            "__init__",
            "__main__",
        ):  # packages without anything of theirs
            levels.setdefault(layer(name), []).append(name)
    return dict(sorted(levels.items()))


def packages() -> dict[str, set[str]]:
    """Which packages each package imports from, imports inside functions included."""
    edges: dict[str, set[str]] = {package(module): set() for module in MODULES}
    for module in MODULES:
        imported = {package(other) for other in imports(module)}
        edges[package(module)] |= imported - {package(module)}
    return edges
