"""The rows of a cohort's patients, to be taken home: one CSV file of a table, a zip with a CSV file
per table otherwise. Rows go out as they are read; nothing is written to a disk.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import numpy as np

from pipeline.refusal import Refusal
from pipeline.schema.values import Schema, Table
from portal.public.explore import sentences
from portal.public.explore.chunks import header
from portal.public.explore.counts import Members
from portal.public.explore.release import Published
from portal.public.explore.table import ExploreTable

MOST_PATIENTS = 200_000
BATCH = 5_000  # rows read at a time
CONSTANT_TIME = (2000, 1, 1, 0, 0, 0)  # of files in a zip, as of all files of a release


def check(members: Members) -> None:
    """Raises Refusal for a cohort of nobody, or of more patients than go out in this way."""
    if not members.size:
        raise Refusal("nobody is in this cohort: there are no rows to download")
    if members.size > MOST_PATIENTS:
        raise Refusal(
            f"this cohort has {members.size:,} patients; rows of at most {MOST_PATIENTS:,} can be"
            " downloaded here. Choose a smaller cohort, or take the whole release home from its"
            " page"
        )


def file_name(published: Published, side: str) -> str:
    """Of the download."""
    end = "csv" if len(published.schema.tables) == 1 else "zip"
    return f"{published.release_id}-cohort-{side}.{end}"


def about(published: Published, table: ExploreTable, members: Members, address: str) -> str:
    """What lies beside the rows in a zip."""
    words = sentences.cohort_words(members.filters, table)
    return (
        f"Synthetic patients of release {published.release_id}: {published.title}.\n"
        f"No row is a real patient. {published.not_for}\n"
        f"Epsilon of the release: {published.epsilon:.4g}.\n\n"
        f"Cohort: {words} ({members.size:,} of {table.patients:,} patients).\n"
        f"Filters as an address: {address or '(none)'}\n"
        "Columns and codes: dictionary.csv and lookups/ of the release.\n"
    )


def download(
    published: Published, table: ExploreTable, members: Members, address: str
) -> Iterator[bytes]:
    """The bytes of the file, bit by bit."""
    source = Source(published.schema, published.release.extract.parquet, table.ids(members.rows))
    if len(published.schema.tables) == 1:
        yield from source.csv(next(iter(published.schema.tables)))
        return
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(_entry("README.txt"), about(published, table, members, address))
        for name in source.names:
            with archive.open(_entry(f"{published.schema.tables[name].file}.csv"), "w") as file:
                for some in source.csv(name):
                    file.write(some)
                    yield sink.take()
            yield sink.take()
    yield sink.take()


class Source:
    """The tables of an extract, of some patients. ids: the patients' ids in the extract, or, of a
    table without ids, the numbers of its rows.
    """

    def __init__(self, schema: Schema, parquet: Path, ids: np.ndarray):
        self._schema = schema
        paths = {name: parquet / f"{table.file}.parquet" for name, table in schema.tables.items()}
        self._paths = {name: path for name, path in paths.items() if path.is_file()}
        self._database = duckdb.connect()
        self._database.execute("SET threads=1")
        self._database.execute("CREATE TABLE chosen AS SELECT unnest(?) AS id", [ids.tolist()])

    @property
    def names(self) -> list[str]:
        """The tables that the extract has."""
        return list(self._paths)

    def csv(self, name: str) -> Iterator[bytes]:
        """The header, then rows, in the extract's own order."""
        query, paths = self._query(name)
        rows = self._database.execute(query, paths)
        yield _lines([[column[0] for column in rows.description or []]])
        while some := rows.fetchmany(BATCH):
            yield _lines(some)

    def _query(self, name: str) -> tuple[str, list[str]]:
        """Only names of columns that are declared stand in it; paths are parameters."""
        if all(table.patient is None for table in self._schema.tables.values()):
            query = "SELECT * EXCLUDE (file_row_number) FROM read_parquet(?, file_row_number=true)"
            return f"{query} WHERE file_row_number IN (FROM chosen)", [str(self._paths[name])]
        condition, paths = self._condition(name)
        query = f"SELECT * FROM read_parquet(?) WHERE {condition}"
        return query, [str(self._paths[name]), *paths]

    def _condition(self, name: str) -> tuple[str, list[str]]:
        """Which rows of a table belong to the patients: by their own id, or through a parent."""
        table = self._schema.tables[name]
        if table.patient is not None:
            return f"{_identifier(table, table.patient)} IN (FROM chosen)", []
        if table.through is None or table.through[0] not in self._paths:
            return "true", []  # a table of no patients
        parent, column = table.through
        inner, paths = self._condition(parent)
        key = _identifier(self._schema.tables[parent], column)
        return (
            f"{_identifier(table, column)} IN (SELECT {key} FROM read_parquet(?) WHERE {inner})",
            [str(self._paths[parent]), *paths],
        )


class _Sink(io.RawIOBase):
    """Takes what a zip file writes and gives it out again."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._waiting += data
        return len(data)

    def take(self) -> bytes:
        waiting, self._waiting = bytes(self._waiting), bytearray()
        return waiting


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, CONSTANT_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _identifier(table: Table, column: str) -> str:
    return '"' + header(table, column).replace('"', '""') + '"'
