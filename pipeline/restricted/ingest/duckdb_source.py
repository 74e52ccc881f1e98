"""The tables of a DuckDB file as a source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from pipeline.refusal import Refusal
from pipeline.restricted.ingest.arrow_source import (
    BATCH_ROWS,
    block_of,
    declared_places,
    leaves_of,
)
from pipeline.restricted.ingest.blocks import Block
from pipeline.restricted.ingest.database_tables import chosen_tables
from pipeline.restricted.ingest.source_header import Source
from pipeline.schema.values import Schema, Table

# tables only: of a view one row may stop the query; nothing else of the machine is seen
_CONFIG: dict[str, Any] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "threads": "1",
}
_TABLES = (
    "SELECT table_schema, table_name FROM information_schema.tables"
    " WHERE table_catalog = current_database() AND table_type = 'BASE TABLE' ORDER BY ALL"
)


class DuckDBTables:
    """An open file, read in one transaction."""

    def __init__(self, name: str, connection: duckdb.DuckDBPyConnection):
        self._name, self._connection = name, connection

    @classmethod
    @contextmanager
    def opened(cls, path: Path, name: str | None = None) -> Iterator[DuckDBTables]:
        """`name`: for messages, where it is not the path's. Raises Refusal for a file that is no
        DuckDB database, or that another program writes.
        """
        name = name or path.name
        with _reading(name):
            connection = duckdb.connect(str(path), read_only=True, config=_CONFIG)
        try:
            connection.execute("BEGIN TRANSACTION")
            yield cls(name, connection)
        finally:
            connection.close()

    def sources(self, schema: Schema) -> dict[str, Source]:
        """Each declared table. Raises Refusal naming every one that is missing."""
        with _reading(self._name):
            tables = self._connection.execute(_TABLES).fetchall()
        place_of = chosen_tables(schema, self._name, tables, first="main")
        return {name: self._open(schema.tables[name], *place_of[name]) for name in place_of}

    def _open(self, table: Table, folder: str, inside: str) -> Source:
        name = f"{self._name}, table {inside}"
        query = f"SELECT * FROM {_identifier(folder)}.{_identifier(inside)}"
        with _reading(name):
            kinds = self._connection.sql(f"{query} LIMIT 0").to_arrow_reader(1).read_all().schema
        leaves = list(leaves_of(kinds))
        positions, aliases = declared_places(table, name, "DuckDB", leaves)
        tops = ", ".join(sorted({_identifier(leaves[index][0][0]) for index in positions.values()}))

        def rows(max_cell_bytes: int) -> Iterator[Block]:
            with _reading(name):
                chosen = self._connection.sql(query.replace("*", tops, 1))
                for batch in chosen.to_arrow_reader(BATCH_ROWS):
                    yield block_of(batch, table, leaves, positions, None)

        return Source(table, name, positions, aliases, rows)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Says in one line that the file cannot be read: a message of DuckDB may quote a value."""
    try:
        yield
    except duckdb.Error as error:
        raise Refusal(
            f"{name} cannot be read by DuckDB ({type(error).__name__}). Is it a DuckDB file of"
            " this version, free of other programs' writes, and without views of other files?"
        ) from None


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
