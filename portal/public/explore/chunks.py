"""The patients of a release with their events, some at a time, read from its Parquet files by the
adapters that read a source: they know what a registry's tables mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from pipeline.adapters import to_log
from pipeline.adapters.extract import as_declared
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema, Table

PATIENTS = 50_000  # read at a time: bounds memory


def logs(schema: Schema, parquet: Path) -> Iterator[PatientLog]:
    """Every patient once, by the extract's ids in order. `parquet`: the extract's folder."""
    files = {name: parquet / f"{table.file}.parquet" for name, table in schema.tables.items()}
    files = {name: path for name, path in files.items() if path.is_file()}
    ids = _ids(schema, files)
    if ids is None:
        yield from _rows(schema, files)
        return
    for first in range(0, len(ids), PATIENTS):
        some = ids[first : first + PATIENTS]
        yield to_log(schema, _tables(schema, files, some)).log


def header(table: Table, name: str) -> str:
    """A column's name in the extract's files."""
    return table.columns[name].header or name


def _ids(schema: Schema, files: dict[str, Path]) -> pl.Series | None:
    """Of all patients, ascending; None where rows have none."""
    some = [
        pl.scan_parquet(path).select(pl.col(header(schema.tables[name], patient)).alias(ID))
        for name, path in files.items()
        if (patient := schema.tables[name].patient) is not None
    ]
    return pl.concat(some).unique().sort(ID).collect()[ID].drop_nulls() if some else None


def _rows(schema: Schema, files: dict[str, Path]) -> Iterator[PatientLog]:
    """Of a table without ids: a row is a patient, under the row's number."""
    ((name, path),) = files.items()
    rows = pl.scan_parquet(path)
    total = rows.select(pl.len()).collect().item()
    for first in range(0, total, PATIENTS):
        some = as_declared(schema.tables[name], rows.slice(first, PATIENTS).collect())
        yield to_log(schema, {name: some.with_row_index(ID, offset=first)}).log


def _tables(schema: Schema, files: dict[str, Path], ids: pl.Series) -> dict[str, pl.DataFrame]:
    """The rows of some patients, neighbours by id: files in that order are read in part only."""
    rows: dict[str, pl.DataFrame] = {}
    waiting = {name: schema.tables[name] for name in files}
    while waiting:
        ready = [n for n, t in waiting.items() if t.through is None or t.through[0] in rows]
        if not ready:  # its parent is not in the extract
            break
        for name in ready:
            table = waiting.pop(name)
            keys, column = ids, table.patient
            if table.through is not None:
                parent, column = table.through
                keys = rows[parent][column].drop_nulls().unique()
            rows[name] = _of(table, files[name], column, keys)
    return rows


def _of(table: Table, path: Path, column: str | None, keys: pl.Series) -> pl.DataFrame:
    """The rows whose column is one of the keys."""
    if column is None:
        return as_declared(table, pl.read_parquet(path))
    name = header(table, column)
    some = pl.scan_parquet(path).filter(pl.col(name).is_between(keys.min(), keys.max())).collect()
    return as_declared(table, some.filter(pl.col(name).is_in(keys.implode())))
