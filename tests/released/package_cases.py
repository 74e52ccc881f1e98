"""A small extract of a registry without a model: simulated patients, rebuilt as a draw is."""

from datetime import date
from pathlib import Path

import polars as pl

from pipeline.adapters import canonical, to_log, to_tables
from pipeline.adapters.frames import cast
from pipeline.catalog import Extract
from pipeline.released.databases import write_database, write_sqlite
from pipeline.released.views import views
from pipeline.released.writers import TableWriter
from pipeline.schema.reader import read_schema
from pipeline.simulator.simulate import simulate

ROOT = Path(__file__).parents[2]
SCHEMA = read_schema(ROOT / "datasets" / "simulated_pathways.yaml")
LAST_DAY = date(2022, 12, 31)


def registry_tables(folder: Path, n_patients: int = 150) -> dict[str, pl.DataFrame]:
    """As the tables of an extract are."""
    simulate(n_patients, seed=4, out=folder, clean=True)
    read = {}
    for name, table in SCHEMA.tables.items():
        cells = pl.read_csv(folder / f"{table.file}.csv", infer_schema=False)
        read[name] = cells.with_columns(pl.all().replace("", None)).select(
            pl.col(c).str.to_date("%Y-%m-%d", strict=False).alias(c)
            if column.kind == "date"
            else cast(c, column)
            for c, column in table.columns.items()
        )
    log = canonical(SCHEMA, to_log(SCHEMA, read).log, extract_date=LAST_DAY)
    return to_tables(SCHEMA, log, extract_date=LAST_DAY)


def registry_extract(folder: Path) -> Extract:
    extract = Extract(folder / "extract")
    with TableWriter(SCHEMA, extract.root) as writer:
        writer.write(registry_tables(folder / "source"))
    write_database(SCHEMA, extract, views(SCHEMA))
    write_sqlite(SCHEMA, extract, views(SCHEMA))
    return extract
