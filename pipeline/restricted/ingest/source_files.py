"""Finds where the tables of a source lie, and checks their structure: a fault of it (a file, a
header, a type) stops the run with one line to the custodian.

What a file is follows from its ending. A workbook, a DuckDB file and a PostgreSQL database hold
several tables, under the names of their `file`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import arrow_source, csv_source, json_source, sheet_source
from pipeline.restricted.ingest.duckdb_source import DuckDBTables
from pipeline.restricted.ingest.file_faults import PARQUET, structure
from pipeline.restricted.ingest.postgres_source import PostgresTables
from pipeline.restricted.ingest.source_header import Source
from pipeline.runs.addresses import is_address
from pipeline.schema.values import Schema, Table

WORKBOOK, DATABASE = ".xlsx", ".duckdb"
READERS: Mapping[str, Callable[[Table, Path], Source]] = MappingProxyType(
    {
        ".csv": csv_source.open_csv,
        ".csv.gz": csv_source.open_csv,
        ".tsv": csv_source.open_csv,
        ".txt": csv_source.open_csv,
        ".jsonl": json_source.open_json,
        ".jsonl.gz": json_source.open_json,
        ".ndjson": json_source.open_json,
        WORKBOOK: sheet_source.open_sheet,
        PARQUET: arrow_source.open_parquet,
    }
)
SUFFIXES = tuple(READERS)


@contextmanager
def sources(schema: Schema, place: str | Path) -> Iterator[dict[str, Source]]:
    """Each declared table of what lies at `place`, header checked: a folder (or its Data folder), a
    file of one table, a workbook, a DuckDB file, or the address of a PostgreSQL database. A
    database is read in one transaction, which ends with the block.

    Raises Refusal naming every table that is missing, or the first whose structure is wrong.
    """
    with ExitStack() as stack:
        if is_address(place):
            yield stack.enter_context(PostgresTables.opened(str(place))).sources(schema)
        elif (root := Path(place)).name.lower().endswith(DATABASE) and root.is_file():
            yield stack.enter_context(DuckDBTables.opened(root)).sources(schema)
        else:
            yield _of_files(schema, root)


def _of_files(schema: Schema, root: Path) -> dict[str, Source]:
    if not root.exists():
        raise Refusal(
            f"source {root.name}: there is no such folder or file. Declare where the tables of"
            f" {schema.dataset} lie."
        )
    if root.is_file():
        return _of_file(schema, root)
    paths = {name: _find(table, root) for name, table in schema.tables.items()}
    missing = [
        schema.tables[name].file
        for name, path in paths.items()
        if path is None and schema.tables[name].required
    ]
    if missing:
        raise Refusal(
            f"missing table(s) {', '.join(missing)}: no such file ending in {', '.join(SUFFIXES)}"
            f" in {root.name} or its Data folder. Add the file, or correct `file:` in the"
            " declaration."
        )
    return {
        name: open_source(schema.tables[name], path)
        for name, path in paths.items()
        if path is not None
    }


def _of_file(schema: Schema, path: Path) -> dict[str, Source]:
    """One table, or the sheets of a workbook."""
    if not path.name.lower().endswith(SUFFIXES):
        raise Refusal(
            f"source {path.name}: expected a file ending in {', '.join((*SUFFIXES, DATABASE))}."
        )
    if len(schema.tables) == 1:
        return {name: open_source(table, path) for name, table in schema.tables.items()}
    if path.name.lower().endswith(WORKBOOK):
        with structure(path.name):
            return sheet_source.open_workbook(schema, path)
    raise Refusal(
        f"source {path.name} is one file, but {schema.dataset} has {len(schema.tables)}"
        " tables: give the folder that holds"
        f" {', '.join(t.file for t in schema.tables.values())}."
    )


def _find(table: Table, root: Path) -> Path | None:
    names = {f"{table.file}{suffix}".lower() for suffix in SUFFIXES}
    folders = [
        root,
        *(
            child
            for child in sorted(root.iterdir())
            if child.is_dir() and child.name.lower() == "data"
        ),
    ]
    matches = [
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name.lower() in names
    ]
    if len(matches) > 1:
        raise Refusal(
            f"table {table.name}: found more than one file for it:"
            f" {', '.join(path.name for path in matches)}. Keep one."
        )
    return matches[0] if matches else None


def open_source(table: Table, path: Path) -> Source:
    """Reads the header and matches it with the declaration. Raises Refusal for a file whose
    structure is wrong.
    """
    ending = max((end for end in SUFFIXES if path.name.lower().endswith(end)), key=len)
    with structure(path.name):
        return READERS[ending](table, path)
