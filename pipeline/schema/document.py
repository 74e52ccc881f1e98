"""Reads a YAML declaration with the line of every value, resolves `extends`, and collects mistakes
instead of stopping at the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from pipeline.refusal import Refusal

Path_ = tuple[Any, ...]


class DeclarationError(Refusal):
    """A declaration has mistakes. The message lists all of them, each as `file:line: field: what is
    wrong`.
    """

    def __init__(self, problems: list[str]):
        self.problems = tuple(problems)
        super().__init__(
            f"{len(problems)} mistake(s) in the declaration:\n  " + "\n  ".join(problems)
        )


class Document:
    """A nested mapping that knows where each value stands, and the list of what is wrong with
    it.
    """

    def __init__(self, value: dict[str, Any], places: dict[Path_, str], file: str):
        self.value, self.places, self.file = value, places, file
        self.problems: list[str] = []

    def problem(self, path: Path_, message: str) -> None:
        """Notes a mistake at `path`; the nearest known place above it is named."""
        place = next(
            (self.places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.places),
            f"{self.file}:1",
        )
        field = ".".join(str(part) for part in path) or "(top)"
        self.problems.append(f"{place}: {field}: {message}")

    def raise_problems(self) -> None:
        if self.problems:
            raise DeclarationError(sorted(set(self.problems), key=_place_order))


def _place_order(problem: str) -> tuple[str, int]:
    file, line, _ = problem.split(":", 2)
    return file, int(line)


def read(path: Path) -> Document:
    """Loads `path` and, under it, what it `extends` (a sibling's name). Raises DeclarationError for
    what is no YAML mapping.
    """
    value, places = _load(path)
    parent_name = value.pop("extends", None)
    if parent_name is None:
        return Document(value, places, path.name)
    parent_path = path.with_name(f"{parent_name}.yaml")
    if not parent_path.is_file():
        raise DeclarationError(
            [
                f"{places.get(('extends',), path.name + ':1')}: extends: no declaration named"
                f" {parent_name!r} beside it"
            ]
        )
    parent = read(parent_path)
    return Document(_merge(parent.value, value), {**parent.places, **places}, path.name)


def base_of(path: Path) -> str | None:
    """The name of the declaration that this one `extends`; None where it stands alone."""
    base = _load(path)[0].get("extends")
    return None if base is None else str(base)


def _load(path: Path) -> tuple[dict[str, Any], dict[Path_, str]]:
    try:
        loaded = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DeclarationError([f"{path.name}:1: (file): there is no such declaration"]) from None
    except MarkedYAMLError as error:
        line = (error.problem_mark.line + 1) if error.problem_mark else 1
        raise DeclarationError([f"{path.name}:{line}: (YAML): {error.problem}"]) from None
    if not isinstance(loaded, CommentedMap):
        raise DeclarationError(
            [f"{path.name}:1: (file): a declaration is a mapping, this is {type(loaded).__name__}"]
        )
    places: dict[Path_, str] = {}
    plain = _plain(loaded, (), path.name, places)
    return plain, places


def _plain(node: Any, path: Path_, file: str, places: dict[Path_, str]) -> Any:
    """The node as plain dicts and lists; notes `file:line` of each key and item on the way."""
    if isinstance(node, CommentedMap):
        for key in node:
            places[(*path, key)] = (
                f"{file}:{node.lc.key(key)[0] + 1 if key in (node.lc.data or {}) else 1}"
            )
        return {key: _plain(child, (*path, key), file, places) for key, child in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            places[(*path, index)] = f"{file}:{node.lc.item(index)[0] + 1}"
        return [_plain(child, (*path, index), file, places) for index, child in enumerate(node)]
    if isinstance(node, str):
        return str(node)
    return node


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, mapping by mapping; lists and scalars are replaced whole."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def dump(value: dict[str, Any], path: Path) -> None:
    """Writes a resolved declaration, atomically."""
    yaml = YAML()
    yaml.width = 160
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        yaml.dump(value, file)
    temporary.replace(path)
