"""Files to draft from, and what becomes of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.cli.parser import main
from pipeline.restricted.draft.declaration import draft
from pipeline.restricted.draft.yaml_parts import Statement

PUBLISHED = Statement(
    name="mine", kind="public", published="a journal", universe="people of a test", size=1000
)


def write_csv(
    path: Path, columns: Mapping[str, Sequence[Any]], separator: str = ",", encoding: str = "utf-8"
) -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def drafted(*paths: Path, statement: Statement = PUBLISHED) -> dict[str, Any]:
    """The draft as plain values."""
    text = draft([str(path) for path in paths], statement)
    value: dict[str, Any] = YAML(typ="safe").load(text)
    return value


def columns_of(*paths: Path, table: str | None = None) -> dict[str, dict[str, Any]]:
    """Of a draft from unpublished rows, with what is under review."""
    tables = drafted(*paths, statement=Statement(name="mine"))["tables"]
    columns: dict[str, dict[str, Any]] = tables[table or next(iter(tables))]["columns"]
    return columns


def check(home: Path, *paths: Path, statement: Statement = PUBLISHED) -> int:
    """The exit code of `dataset check` on the draft, against the files, which lie together."""
    (home / "datasets").mkdir(exist_ok=True)
    text = draft([str(path) for path in paths], statement)
    (home / "datasets" / "mine.yaml").write_text(text, encoding="utf-8")
    source = paths[0].parent if len(paths) > 1 else paths[0]
    return main(["dataset", "check", "mine", "--source", str(source)])
