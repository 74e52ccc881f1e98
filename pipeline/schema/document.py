"""Reads a YAML declaration with the line of every value, resolves `extends`, and collects mistakes
instead of stopping at the first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from pipeline.refusal import Refusal
from pipeline.schema.names import short_fault

Path_ = tuple[Any, ...]
_PLACE = re.compile(r"(.*?):(\d+): ", re.DOTALL)
_DATE = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_DEEPEST = 40  # mappings and lists within one another


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
    """A nested mapping that knows where each value stands, and the lists of what is wrong with it
    and of what is likely meant otherwise.
    """

    def __init__(self, value: dict[str, Any], places: dict[Path_, str], file: str):
        self.value, self.places, self.file = value, places, file
        self.problems: list[str] = []
        self._warnings: list[str] = []

    def problem(self, path: Path_, message: str) -> None:
        """Notes a mistake at `path`; the nearest known place above it is named."""
        self.problems.append(self._placed(path, message))

    def warn(self, path: Path_, message: str) -> None:
        """Notes what can be read, but is likely meant otherwise."""
        self._warnings.append(self._placed(path, message))

    @property
    def warnings(self) -> tuple[str, ...]:
        """In the order of the file, each as `file:line: field: what and what to do`."""
        return tuple(sorted(set(self._warnings), key=_place_order))

    def _placed(self, path: Path_, message: str) -> str:
        place = next(
            (self.places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.places),
            f"{self.file}:1",
        )
        field = ".".join(str(part) for part in path) or "(top)"
        return f"{place}: {field}: {message}"

    def adopt(self, other: Document) -> None:
        """Takes over the notes of another file that this one names."""
        self.problems.extend(other.problems)
        self._warnings.extend(other._warnings)

    def raise_problems(self) -> None:
        if self.problems:
            raise DeclarationError(sorted(set(self.problems), key=_place_order))


def _place_order(problem: str) -> tuple[str, int]:
    place = _PLACE.match(problem)
    return (place[1], int(place[2])) if place else (problem, 0)


def read(path: Path, below: tuple[Path, ...] = ()) -> Document:
    """Loads `path` and, under it, what it `extends` (a sibling's name). Raises DeclarationError for
    what is no YAML mapping.

    below: the declarations that extend this one.
    """
    value, places = _load(path)
    parent_name = value.pop("extends", None)
    if parent_name is None:
        return Document(value, places, path.name)
    place = places.get(("extends",), f"{path.name}:1")
    if fault := short_fault(parent_name):
        raise DeclarationError([f"{place}: extends: {fault}"])
    parent_path = path.with_name(f"{parent_name}.yaml")
    if not parent_path.is_file():
        raise DeclarationError(
            [f"{place}: extends: no declaration named {parent_name!r} beside it"]
        )
    if parent_path in (path, *below):
        raise DeclarationError(
            [f"{place}: extends: goes in a circle: {parent_name!r} extends this"]
        )
    parent = read(parent_path, (path, *below))
    return Document(_merge(parent.value, value), {**parent.places, **places}, path.name)


def base_of(path: Path) -> str | None:
    """The name of the declaration that this one `extends`; None where it stands alone."""
    base = _load(path)[0].get("extends")
    return None if base is None else str(base)


def _load(path: Path) -> tuple[dict[str, Any], dict[Path_, str]]:
    loaded = _yaml(path)
    if not isinstance(loaded, CommentedMap):
        raise DeclarationError(
            [f"{path.name}:1: (file): a declaration is a mapping, this is {type(loaded).__name__}"]
        )
    places: dict[Path_, str] = {}
    return _plain(loaded, (), path.name, places), places


def _yaml(path: Path) -> Any:
    """What the file holds. Raises DeclarationError naming the line, for whatever is wrong with
    it.
    """
    text = _text(path)
    try:
        return YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = (error.problem_mark.line + 1) if error.problem_mark else 1
        raise DeclarationError([f"{path.name}:{line}: (YAML): {error.problem}"]) from None
    except YAMLError as error:
        raise DeclarationError([f"{path.name}:1: (YAML): {error}"]) from None
    except (ValueError, OverflowError, TypeError, AttributeError, RecursionError) as error:
        # the library's own, for values such as 2020-13-45
        place = f"{path.name}:{_line_of_bad_date(text)}"
        raise DeclarationError([f"{place}: (YAML): a value cannot be read: {error}"]) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        fault = "there is no such declaration"
    except UnicodeDecodeError:
        fault = "is not UTF-8: save it as text in UTF-8"
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    raise DeclarationError([f"{path.name}:1: (file): {fault}"])


def _line_of_bad_date(text: str) -> int:
    for number, line in enumerate(text.splitlines(), start=1):
        for parts in _DATE.findall(line):
            try:
                date(*(int(part) for part in parts))
            except ValueError:
                return number
    return 1


def _plain(node: Any, path: Path_, file: str, places: dict[Path_, str]) -> Any:
    """The node as plain dicts and lists; notes `file:line` of each key and item on the way."""
    if len(path) > _DEEPEST:
        place = next(places[path[:n]] for n in range(_DEEPEST, 0, -1) if path[:n] in places)
        raise DeclarationError(
            [f"{place}: (YAML): mappings and lists within one another without end"]
        )
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
    return _scalar(node)


def _scalar(node: Any) -> Any:
    """A plain value; a mapping, which no field expects, where the file gave it a tag of its own."""
    if isinstance(node, ScalarBoolean):
        return bool(node)
    if isinstance(node, str):
        return str(node)
    return node if node is None or isinstance(node, int | float | date) else {"(tag)": str(node)}


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
