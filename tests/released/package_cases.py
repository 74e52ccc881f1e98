"""Small packages without a model: simulated patients, rebuilt as a draw is, and rows that only fit
their declaration.
"""

from datetime import date
from pathlib import Path

import polars as pl

from pipeline.adapters import canonical, extract_tables, to_log
from pipeline.adapters.frames import cast, physical
from pipeline.catalog import Release
from pipeline.released.databases import write_database, write_sqlite
from pipeline.released.package import write_package
from pipeline.released.views import views
from pipeline.released.writers import TableWriter
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Column, Schema
from pipeline.simulator.simulate import simulate

ROOT = Path(__file__).parents[2]
SCHEMA = read_schema(ROOT / "datasets" / "simulated_pathways.yaml")
LAST_DAY = date(2022, 12, 31)


def source_tables(folder: Path, n_patients: int, seed: int = 4) -> dict[str, pl.DataFrame]:
    """Simulated patients in the types of the declaration."""
    simulate(n_patients, seed=seed, out=folder, clean=True)
    read = {}
    for name, table in SCHEMA.tables.items():
        cells = pl.read_csv(folder / f"{table.file}.csv", infer_schema=False)
        read[name] = cells.with_columns(pl.all().replace("", None)).select(
            pl.col(c).str.to_date("%Y-%m-%d", strict=False).alias(c)
            if column.kind == "date"
            else cast(c, column)
            for c, column in table.columns.items()
        )
    return read


def registry_tables(folder: Path, n_patients: int = 150) -> dict[str, pl.DataFrame]:
    """As the tables of an extract are."""
    log = to_log(SCHEMA, source_tables(folder, n_patients)).log
    return rebuilt_tables(log)


def rebuilt_tables(log: PatientLog) -> dict[str, pl.DataFrame]:
    """An extract of these very patients: what the rules rebuild, without noise."""
    return extract_tables(SCHEMA, canonical(SCHEMA, log, extract_date=LAST_DAY), LAST_DAY)[0]


CARD = {"release_id": "first-1", "synthetic_patients": 150}


def package(schema: Schema, tables: dict[str, pl.DataFrame], root: Path) -> Release:
    """A release's folder with its extract and all that stands beside it for readers."""
    release = Release(root)
    with TableWriter(schema, release.extract.root) as writer:
        writer.write(tables)
    for write in (write_database, write_sqlite):
        write(schema, release.extract, views(schema))
    write_package(schema, release, CARD)
    return release


def values_of(column: Column) -> pl.Series:
    """Three legal values and one that is missing, where it may be."""
    kind = physical(column)
    value: object = "x"
    if column.categories:
        value = column.categories[-1]
    elif column.is_numeric:
        value = column.lower
    elif kind == pl.Int64:
        value = 1
    last = None if column.nullable else value
    return pl.Series(column.name, [value] * 3 + [last]).cast(kind, strict=False)


def plain_tables(schema: Schema) -> dict[str, pl.DataFrame]:
    """Four rows of each table of a declaration."""
    return {
        name: pl.DataFrame([values_of(column) for column in table.columns.values()])
        for name, table in schema.tables.items()
    }
