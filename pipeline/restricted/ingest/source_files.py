"""Finds where the tables of a source lie, and checks their structure: a fault of it (a file, a
header, a type) stops the run with one line to the custodian.

What a file is follows from its ending. A workbook, a DuckDB file and a PostgreSQL database hold
several tables, under the names of their `file`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.restricted.ingest import arrow_source, csv_source, json_source, sheet_source
from pipeline.restricted.ingest.duckdb_source import DuckDBTables
from pipeline.restricted.ingest.file_faults import PARQUET, structure
from pipeline.restricted.ingest.postgres_source import PostgresTables
from pipeline.restricted.ingest.source_header import Source
from pipeline.restricted.ingest.text_bytes import ByteFile
from pipeline.runs.addresses import is_address
from pipeline.runs.uploads import decryption, records
from pipeline.runs.uploads.address import id_of, is_upload
from pipeline.schema.values import Schema, Table

WORKBOOK, DATABASE = ".xlsx", ".duckdb"
READERS: Mapping[str, Callable[[Table, ByteFile], Source]] = MappingProxyType(
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
    file of one table, a workbook, a DuckDB file, the address of a PostgreSQL database, or an upload
    (upload:<id>), which is decrypted as it is read. A database is read in one transaction, which
    ends with the block.

    Raises Refusal naming every table that is missing, or the first whose structure is wrong.
    """
    with ExitStack() as stack:
        if is_address(place):
            yield stack.enter_context(PostgresTables.opened(str(place))).sources(schema)
        elif is_upload(place):
            home = Home.find()
            upload = records.readable(home, id_of(str(place)))
            files = [decryption.whole_file(home, upload, one) for one in upload.files]
            yield stack.enter_context(of_upload(schema, files))
        elif is_database(root := Path(place)) and root.is_file():
            yield stack.enter_context(DuckDBTables.opened(root)).sources(schema)
        else:
            yield _of_path(schema, root)


@contextmanager
def of_upload(
    schema: Schema, files: Sequence[decryption.EncryptedFile]
) -> Iterator[dict[str, Source]]:
    """The same of the files of an upload, whatever its state."""
    with ExitStack() as stack:
        if len(files) == 1 and is_database(files[0]):
            path = stack.enter_context(decryption.in_memory(files[0]))
            database = DuckDBTables.opened(Path(path), files[0].name)
            yield stack.enter_context(database).sources(schema)
        elif len(files) == 1 and (len(schema.tables) == 1 or is_workbook(files[0])):
            yield _of_file(schema, files[0])
        else:
            yield _of_files(schema, "the upload", files)


def is_database(file: ByteFile) -> bool:
    return file.name.lower().endswith(DATABASE)


def is_workbook(file: ByteFile) -> bool:
    return file.name.lower().endswith(WORKBOOK)


def _of_path(schema: Schema, root: Path) -> dict[str, Source]:
    if not root.exists():
        raise Refusal(
            f"source {root.name}: there is no such folder or file. Declare where the tables of"
            f" {schema.dataset} lie."
        )
    if root.is_file():
        return _of_file(schema, root)
    folders = [root, *(path for path in sorted(root.iterdir()) if _is_data_folder(path))]
    paths = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    return _of_files(schema, f"{root.name} or its Data folder", paths)


def _is_data_folder(path: Path) -> bool:
    return path.is_dir() and path.name.lower() == "data"


def _of_files(schema: Schema, where: str, files: Sequence[ByteFile]) -> dict[str, Source]:
    file_of = {name: _find(table, files) for name, table in schema.tables.items()}
    missing = [
        schema.tables[name].file
        for name, file in file_of.items()
        if file is None and schema.tables[name].required
    ]
    if missing:
        raise Refusal(
            f"missing table(s) {', '.join(missing)}: no such file ending in {', '.join(SUFFIXES)}"
            f" in {where}. Add the file, or correct `file:` in the declaration."
        )
    return {
        name: open_source(schema.tables[name], file)
        for name, file in file_of.items()
        if file is not None
    }


def _of_file(schema: Schema, file: ByteFile) -> dict[str, Source]:
    """One table, or the sheets of a workbook."""
    if not file.name.lower().endswith(SUFFIXES):
        raise Refusal(
            f"source {file.name}: expected a file ending in {', '.join((*SUFFIXES, DATABASE))}."
        )
    if len(schema.tables) == 1:
        return {name: open_source(table, file) for name, table in schema.tables.items()}
    if is_workbook(file):
        with structure(file.name):
            return sheet_source.open_workbook(schema, file)
    raise Refusal(
        f"source {file.name} is one file, but {schema.dataset} has {len(schema.tables)}"
        " tables: give the folder that holds"
        f" {', '.join(t.file for t in schema.tables.values())}."
    )


def is_file_of(table: Table, name: str) -> bool:
    """Whether a file of this name is the table's, in a folder of files."""
    return name.lower() in {f"{table.file}{suffix}".lower() for suffix in SUFFIXES}


def _find(table: Table, files: Sequence[ByteFile]) -> ByteFile | None:
    matches = [file for file in files if is_file_of(table, file.name)]
    if len(matches) > 1:
        raise Refusal(
            f"table {table.name}: found more than one file for it:"
            f" {', '.join(file.name for file in matches)}. Keep one."
        )
    return matches[0] if matches else None


def open_source(table: Table, file: ByteFile) -> Source:
    """Reads the header and matches it with the declaration. Raises Refusal for a file whose
    structure is wrong.
    """
    ending = max((end for end in SUFFIXES if file.name.lower().endswith(end)), key=len)
    with structure(file.name):
        return READERS[ending](table, file)
