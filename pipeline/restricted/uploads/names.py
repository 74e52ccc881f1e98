"""Which files an upload may have: names without a path, each of a declared table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import source_files
from pipeline.restricted.ingest.source_files import DATABASE, SUFFIXES
from pipeline.schema.values import Schema

_NAME = re.compile(r"[^\W_][\w .()+-]{0,199}")
_PATH = re.compile(r"[/\\\0:]|\.\.")


def tables_of(schema: Schema, names: Sequence[str]) -> list[str | None]:
    """The table that each file holds; None for a workbook or a database of several tables.

    Raises Refusal for a name that is a path, that ends otherwise than a source may, or that is no
    declared table's, and where a required table is missing.
    """
    for name in names:
        _check_name(name)
    folded = [name.casefold() for name in names]
    if len(set(folded)) < len(folded):
        raise Refusal("two files have the same name: keep one")
    if len(names) == 1:
        only = names[0].lower()
        if only.endswith(DATABASE) or (only.endswith(".xlsx") and len(schema.tables) > 1):
            return [None]
        if len(schema.tables) == 1:
            return list(schema.tables)
    return _of_folder(schema, names)


def _of_folder(schema: Schema, names: Sequence[str]) -> list[str | None]:
    table_of: dict[str, str] = {}
    missing = []
    for key, table in schema.tables.items():
        matches = [name for name in names if source_files.is_file_of(table, name)]
        if len(matches) > 1:
            raise Refusal(f"table {key}: found more than one file for it: keep one of {matches}")
        if matches:
            table_of[matches[0]] = key
        elif table.required:
            missing.append(table.file)
    if missing:
        raise Refusal(
            f"missing table(s) {', '.join(missing)}: add the file, named as the table and ending in"
            f" {', '.join(SUFFIXES)}"
        )
    if foreign := [name for name in names if name not in table_of]:
        raise Refusal(
            f"{schema.dataset} has no table for {', '.join(foreign[:5])}: a file is named as its"
            f" table ({', '.join(table.file for table in schema.tables.values())})"
        )
    return [table_of[name] for name in names]


def _check_name(name: str) -> None:
    """Says what is wrong without the name where that may be more than a name."""
    if _PATH.search(name):
        raise Refusal("a file's name holds no folder: no /, \\, : and no two points in a row")
    if not _NAME.fullmatch(name):
        raise Refusal(
            "a file's name has 1 to 200 letters, digits, blanks and . _ - + ( ), and begins with a"
            " letter or digit"
        )
    if not name.lower().endswith((*SUFFIXES, DATABASE)):
        raise Refusal(
            f"{name}: expected a file ending in {', '.join((*SUFFIXES, DATABASE))}. Archives are"
            " not taken: send the files in them"
        )
