"""The same-code check in the custodian's report: analyses as researchers write them, on the source
as ingest read it and on the extract.

The report says which run, whether they bring the same columns and whether a label is lost: no
figure.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from pipeline.catalog import Extract, Workspace
from pipeline.evaluation import report
from pipeline.evaluation.same_code import comparison
from pipeline.evaluation.same_code.analysis import Package
from pipeline.released.workbooks import write_lookup_workbook
from pipeline.released.writers import TableWriter
from pipeline.schema.values import Schema

PATIENTS = 5_000  # of each: what a script on a laptop would try first
Scan = Callable[[str], pl.LazyFrame | None]


def section(schema: Schema, workspace: Workspace, folder: Path) -> str:
    """HTML. Only the registry's tables have public scripts. Both packages lie below `folder`, in
    the restricted zone, while the scripts run.
    """
    if schema.layout != "registry":
        return "<p>No public scripts are known for tables of this kind.</p>"
    source = _scan(workspace.restricted.tables, {name: name for name in schema.tables})
    extract = _scan(
        workspace.released.extract.parquet, {n: table.file for n, table in schema.tables.items()}
    )
    with tempfile.TemporaryDirectory(prefix="same-code-", dir=folder) as scratch:
        outcomes = comparison.compare(
            package(schema, source, Path(scratch) / "source"),
            package(schema, extract, Path(scratch) / "extract"),
        )
    return (
        f"<p><strong>{comparison.headline(outcomes)}</strong>: scripts written as public ones are,"
        f" on at most {PATIENTS:,} patients of the source and of the extract, unchanged. One passes"
        " where it runs on both, brings the same columns and finds the label of every code.</p>"
        + report.table(comparison.HEADER, comparison.rows(outcomes))
    )


def package(schema: Schema, scan: Scan, folder: Path) -> Package:
    """The tables of at most PATIENTS patients as CSV, with the look-up workbook."""
    with TableWriter(schema, folder) as writer:
        writer.write(_few_patients(schema, scan))
    workbook = folder / "all_z_lookup_tables.xlsx"
    write_lookup_workbook(schema, workbook)
    return Package(Extract(folder).csv, workbook)


def _few_patients(schema: Schema, scan: Scan) -> dict[str, pl.DataFrame]:
    """All rows of the first PATIENTS patients, table by table; a table that goes by its parent
    comes after it.
    """
    tables: dict[str, pl.DataFrame] = {}
    ids: pl.Series | None = None
    for name, table in schema.tables.items():
        rows = scan(name)
        if rows is None:
            continue
        if table.through is not None:
            parent, key = table.through
            keys = tables[parent][key].unique().alias(key)
            tables[name] = _of(rows, key, keys)
            continue
        assert table.patient is not None
        if ids is None:
            ids = (
                rows.select(pl.col(table.patient).unique(maintain_order=True))
                .collect()[table.patient]
                .head(PATIENTS)
            )
        tables[name] = _of(rows, table.patient, ids.alias(table.patient))
    return tables


def _of(rows: pl.LazyFrame, column: str, keys: pl.Series) -> pl.DataFrame:
    return rows.join(keys.to_frame().lazy(), on=column, how="semi", maintain_order="left").collect()


def _scan(folder: Path, files: Mapping[str, str]) -> Scan:
    """Reads a table from its Parquet file in `folder`; None where there is none."""

    def scan(name: str) -> pl.LazyFrame | None:
        path = folder / f"{files[name]}.parquet"
        return pl.scan_parquet(path) if path.exists() else None

    return scan
